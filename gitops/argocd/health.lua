-- Health of a Backfill, PipelineSchedule or WorkerPool. It reads the conditions, which docs/conditions.md describes.
-- A suspended resource is Healthy: a sync waits for a resource that is Suspended, and a suspended Backfill may stay so for weeks.
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "The resource is being deleted" }
end

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not seen this generation of the resource yet" }
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

if holds("Stalled") then
  return { status = "Degraded", message = conditions.Stalled.message }
end
if holds("Ready") then
  local message = conditions.Ready.message
  if holds("Warning") then
    message = message .. " Warning: " .. conditions.Warning.message
  end
  return { status = "Healthy", message = message }
end
if conditions.Ready ~= nil then
  return { status = "Progressing", message = conditions.Ready.message }
end
return { status = "Progressing", message = "The resource has no condition Ready yet" }
