/** Stage at which a measurement failed: reading it, decoding its JSON into the model, making observations, or encoding the rows. */
export type Stage = 'read' | 'decode' | 'transform' | 'encode';

/** Classes of failures, as stored and counted. */
export type FailureClass =
  | 'InvalidJSON'
  | 'TooManyValues'
  | 'MissingField'
  | 'InvalidField'
  | 'InvalidTime'
  | 'InvalidASN'
  | 'InvalidAddress'
  | 'InvalidURL'
  | 'InvalidBase64'
  | 'InvalidHeaders'
  | 'InvalidCertificate'
  | 'InconsistentEvents'
  | 'UnknownRequestLine';

/** A measurement that cannot be converted to rows. The failure is recorded and counted, and the other measurements continue. */
export class MeasurementError extends Error {
  override name = 'MeasurementError';
  readonly stage: Stage;
  readonly kind: FailureClass;

  constructor(stage: Stage, kind: FailureClass, message: string) {
    super(message);
    this.stage = stage;
    this.kind = kind;
  }
}

/** Creates the error for a failure while making observations from a decoded measurement. */
export function transformError(kind: FailureClass, message: string): MeasurementError {
  return new MeasurementError('transform', kind, message);
}
