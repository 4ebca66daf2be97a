-- Ends the backfill when its active runs have finished. It cannot be undone.
obj.spec.cancel = "Drain"
return obj
