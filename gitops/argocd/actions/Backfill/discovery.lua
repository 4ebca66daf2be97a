-- Actions on a Backfill, and whether each is possible in its present state.
local spec = obj.spec
local status = obj.status or {}
local cancel = spec.cancel or "None"
local ended = status.finishedAt ~= nil
local failed = (status.progress ~= nil and (status.progress.failed or 0) > 0) or status.phase == "Failed"

local actions = {}
actions["run"] = { disabled = not spec.dryRun or cancel ~= "None" }
actions["suspend"] = { disabled = ended or cancel ~= "None" or spec.suspend == true }
actions["resume"] = { disabled = spec.suspend ~= true }
-- Not while the workflow has not processed the last increase yet, so that two clicks are one retry.
actions["retry"] = { disabled = not failed or cancel ~= "None" or (status.attempt or 1) < (spec.attempt or 1) }
actions["cancel"] = { disabled = ended or cancel ~= "None" }
actions["cancel-now"] = { disabled = ended or cancel == "Now" }
return actions
