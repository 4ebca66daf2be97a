-- Lets a suspended schedule fire again.
obj.spec.suspend = false
return obj
