#!/bin/sh
# Creates the namespace TEMPORAL_NAMESPACE of Temporal unless it exists, and sets its retention TEMPORAL_RETENTION. Waits for the frontend at
# TEMPORAL_ADDRESS; the caller limits the time.
set -eu

until temporal operator cluster health >/dev/null 2>&1; do
  echo "Waiting for Temporal at $TEMPORAL_ADDRESS"
  sleep 2
done

set_namespace() {
  if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
  else
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
  fi
}
# A frontend accepts updates of a new namespace only after some seconds, when it has read the namespaces again.
tries=1
until set_namespace; do
  [ "$tries" -lt 15 ] || exit 1
  tries=$((tries + 1))
  sleep 2
done
