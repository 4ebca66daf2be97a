-- Actions on a PipelineSchedule, and whether each is possible in its present state.
local actions = {}
actions["run"] = { disabled = false }
actions["suspend"] = { disabled = obj.spec.suspend == true }
actions["resume"] = { disabled = obj.spec.suspend ~= true }
return actions
