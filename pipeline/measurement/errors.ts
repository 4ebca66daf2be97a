/** Where a measurement failed: reading it, decoding its JSON into the model, making observations, or encoding the rows. */
export type Stage = 'read' | 'decode' | 'transform' | 'encode';

/** Classes of failures, as they are stored and counted. */
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

/** A measurement that cannot become rows. It is recorded and counted; the others go on. */
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

/** A failure while making observations out of a decoded measurement. */
export function transformError(kind: FailureClass, message: string): MeasurementError {
  return new MeasurementError('transform', kind, message);
}
