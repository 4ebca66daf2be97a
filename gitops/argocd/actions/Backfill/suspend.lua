-- Starts no new runs; active runs finish.
obj.spec.suspend = true
return obj
