-- Actions on a WorkerPool.
local actions = {}
actions["restart"] = { disabled = false }
return actions
