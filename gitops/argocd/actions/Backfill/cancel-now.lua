-- Ends the backfill and cancels its active runs. It cannot be undone; the next run of a bucket replaces the rows of the cancelled run.
obj.spec.cancel = "Now"
return obj
