/** Selects the operator's Deployments and their pods, those of the chart and those of the stack on one machine. */
export const OPERATOR_SELECTOR = 'app.kubernetes.io/part-of=ooni-pipeline,app.kubernetes.io/component=operator';
