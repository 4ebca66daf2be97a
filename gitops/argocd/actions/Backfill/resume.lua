-- Continues a suspended backfill.
obj.spec.suspend = false
return obj
