import { ClickHouseError } from '@clickhouse/client';
import { clause } from '../sentence.ts';
import { tlsProblem } from '../tls-problem.ts';

/**
 * An error of ClickHouse. `transient` is true if a later retry can succeed without any intervention. `code` is ClickHouse's error number, if
 * the server answered.
 */
export abstract class TableError extends Error {
  abstract readonly transient: boolean;
  readonly code?: number;

  constructor(message: string, options: { code?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    if (options.code !== undefined) this.code = options.code;
  }
}

/** No answer, or a temporary rejection: network, timeout, too many parts or queries, no memory, no quorum. */
export class ClickHouseUnavailableError extends TableError {
  override name = 'ClickHouseUnavailableError';
  readonly transient = true;
}

/** User, password or grants are not sufficient: someone has to correct clickhouse_url or the user's grants. */
export class ClickHouseAccessError extends TableError {
  override name = 'ClickHouseAccessError';
  readonly transient = false;
}

/** Database, table or column differs from what this program expects: migrations have not run, or somebody changed it. */
export class TableSchemaError extends TableError {
  override name = 'TableSchemaError';
  readonly transient = false;
}

/** The statement and the table are correct, but the rows cannot be stored because of a value or a constraint. */
export class RowsRefusedError extends TableError {
  override name = 'RowsRefusedError';
  readonly transient = false;
}

/** Any other rejection by the server. */
export class StatementError extends TableError {
  override name = 'StatementError';
  readonly transient = false;
}

/*
 * Codes of src/Common/ErrorCodes.cpp. A code that is not in a list is a StatementError: the client does not retry it, so it becomes visible.
 */
const TRANSIENT = new Set([
  74, // CANNOT_READ_FROM_FILE_DESCRIPTOR
  75, // CANNOT_WRITE_TO_FILE_DESCRIPTOR
  95, // CANNOT_READ_FROM_SOCKET
  96, // CANNOT_WRITE_TO_SOCKET
  159, // TIMEOUT_EXCEEDED
  160, // TOO_SLOW
  198, // DNS_ERROR
  201, // QUOTA_EXCEEDED
  202, // TOO_MANY_SIMULTANEOUS_QUERIES
  203, // NO_FREE_CONNECTION
  209, // SOCKET_TIMEOUT
  210, // NETWORK_ERROR
  225, // NO_ZOOKEEPER
  236, // ABORTED
  241, // MEMORY_LIMIT_EXCEEDED
  242, // TABLE_IS_READ_ONLY
  243, // NOT_ENOUGH_SPACE
  244, // UNEXPECTED_ZOOKEEPER_ERROR
  252, // TOO_MANY_PARTS
  254, // NO_ACTIVE_REPLICAS
  279, // ALL_CONNECTION_TRIES_FAILED
  285, // TOO_FEW_LIVE_REPLICAS
  286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
  289, // REPLICA_IS_NOT_IN_QUORUM
  319, // UNKNOWN_STATUS_OF_INSERT
  341, // UNFINISHED
  394, // QUERY_WAS_CANCELLED
  425, // SYSTEM_ERROR
  439, // CANNOT_SCHEDULE_TASK
  473, // DEADLOCK_AVOIDED
  499, // S3_ERROR
  574, // DISTRIBUTED_TOO_MANY_PENDING_BYTES
  692, // TOO_MANY_MUTATIONS
  745, // SERVER_OVERLOADED
  999, // KEEPER_EXCEPTION
]);
const ACCESS = new Set([192, 193, 194, 195, 291, 497, 516, 517]);
const UNKNOWN_TABLE = 60;
const MISSING_TABLE =
  '. If a table of the pipeline was dropped, "oonipipeline migrate" creates it without rows and marks the buckets whose rows it held, so that they are run again; a worker does so when it starts';
const SCHEMA = new Set([
  10, // NOT_FOUND_COLUMN_IN_BLOCK
  16, // NO_SUCH_COLUMN_IN_TABLE
  47, // UNKNOWN_IDENTIFIER
  48, // NOT_IMPLEMENTED
  57, // TABLE_ALREADY_EXISTS
  60, // UNKNOWN_TABLE
  81, // UNKNOWN_DATABASE
  82, // DATABASE_ALREADY_EXISTS
  524, // ALTER_OF_COLUMN_IS_FORBIDDEN
]);
const ROWS = new Set([
  6, // CANNOT_PARSE_TEXT
  19, // SIZES_OF_COLUMNS_DOESNT_MATCH
  20, // NUMBER_OF_COLUMNS_DOESNT_MATCH
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  128, // TOO_LARGE_ARRAY_SIZE
  131, // TOO_LARGE_STRING_SIZE
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
  395, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
  407, // DECIMAL_OVERFLOW
  441, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
  469, // VIOLATED_CONSTRAINT
  691, // UNKNOWN_ELEMENT_OF_ENUM
]);

/**
 * Returns the TableError for an error of the client. An answer that does not come from ClickHouse (a proxy's page, a broken connection) is
 * transient, because the server has not rejected the statement. Programming errors are returned unchanged.
 */
export function classify(error: unknown): Error {
  if (error instanceof TableError) return error;
  if (error instanceof ClickHouseError) {
    const code = Number(error.code);
    const message = `ClickHouse rejected the statement: ${clause(error.message.trimStart())} (code ${code}${error.type ? `, ${error.type}` : ''})`;
    const options = { code, cause: error };
    if (TRANSIENT.has(code)) return new ClickHouseUnavailableError(message, options);
    if (ACCESS.has(code)) return new ClickHouseAccessError(message, options);
    if (SCHEMA.has(code))
      return new TableSchemaError(code === UNKNOWN_TABLE ? message + MISSING_TABLE : message, options);
    if (ROWS.has(code)) return new RowsRefusedError(message, options);
    return new StatementError(message, options);
  }
  if (!(error instanceof Error)) return new StatementError(`ClickHouse client: ${String(error)}`);
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const cause = (error as NodeJS.ErrnoException).code;
  const text = tlsProblem(error) ?? clause(error.message.slice(0, 300).trimStart());
  return new ClickHouseUnavailableError(`ClickHouse does not answer: ${text || cause || error.name}`, { cause: error });
}
