/** The Temporal UI, for `status.links`. */
export interface TemporalUI {
  /** Root URL of the UI. Empty: the installation has no UI, and the status has no links. */
  readonly url: string;
  readonly namespace: string;
}

const page = (ui: TemporalUI, kind: string, id: string) =>
  `${ui.url.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(ui.namespace)}/${kind}/${encodeURIComponent(id)}`;

/** Returns the address of a workflow in the UI; undefined without a UI. */
export function workflowLink(ui: TemporalUI, id: string): string | undefined {
  return ui.url ? page(ui, 'workflows', id) : undefined;
}

/** Returns the address of a schedule in the UI; undefined without a UI. */
export function scheduleLink(ui: TemporalUI, id: string): string | undefined {
  return ui.url ? page(ui, 'schedules', id) : undefined;
}

/** Returns the address of a task queue in the UI; undefined without a UI. */
export function queueLink(ui: TemporalUI, queue: string): string | undefined {
  return ui.url ? page(ui, 'task-queues', queue) : undefined;
}
