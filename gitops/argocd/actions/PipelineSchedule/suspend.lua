-- Nothing fires; active runs finish.
obj.spec.suspend = true
return obj
