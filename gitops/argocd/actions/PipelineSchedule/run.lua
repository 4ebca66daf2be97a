-- Creates a Backfill with the filter and the stages of the schedule. Its range begins with the last bucket that the schedule has completed, or if it has
-- completed none, about a day ago; it ends now. Buckets that are done are skipped, so the action runs the missing buckets.
local os = require("os")

local granularity = obj.spec.granularity or "Day"
local hourly = granularity == "Hour"
local form = hourly and "%Y-%m-%dT%H" or "%Y-%m-%d"

local last = obj.status ~= nil and obj.status.lastSuccessfulBucket or nil
-- A bucket of the other granularity dates from before a change of the spec.
if last ~= nil and (#last > 10) ~= hourly then
  last = nil
end

local spec = {
  -- With a time, os.date has the time zone of Argo CD's process. The distance keeps startAt before endAt in every time zone.
  startAt = last or os.date(form, os.time() - (hourly and 86400 or 2 * 86400)),
  endAt = os.date("!" .. form),
  granularity = granularity,
}
-- An empty list would become an object, so only lists with elements are copied.
for _, field in ipairs({ "stages", "probeCC", "testNames" }) do
  local list = obj.spec[field]
  if list ~= nil and #list > 0 then
    spec[field] = list
  end
end

local backfill = {
  apiVersion = obj.apiVersion,
  kind = "Backfill",
  metadata = {
    name = obj.metadata.name .. "-run-" .. os.date("!%Y%m%d%H%M%S"),
    namespace = obj.metadata.namespace,
    labels = { ["app.kubernetes.io/created-by"] = "argocd" },
  },
  spec = spec,
}

return { { operation = "create", resource = backfill } }
