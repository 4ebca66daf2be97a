-- Starts the work that a dry run has planned.
obj.spec.dryRun = false
return obj
