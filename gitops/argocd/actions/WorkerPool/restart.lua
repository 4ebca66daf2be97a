-- Replaces all pods one after the other, as `kubectl rollout restart` does. A stopping worker finishes its activities or writes their checkpoints.
local os = require("os")

local template = obj.spec.template or {}
template.metadata = template.metadata or {}
template.metadata.annotations = template.metadata.annotations or {}
template.metadata.annotations["pipeline.ooni.org/restarted-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
obj.spec.template = template
return obj
