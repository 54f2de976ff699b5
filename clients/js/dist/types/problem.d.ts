/** What can go wrong, as errors with a code. */
/** The codes of the gateway's problems; `/problems/{code}` of a gateway explains each. */
export type GatewayCode = "invalid-bucket-name" | "invalid-key" | "invalid-filter" | "invalid-parameter" | "unknown-parameter" | "invalid-header" | "invalid-body" | "invalid-config" | "invalid-cursor" | "unauthenticated" | "forbidden" | "cross-site" | "forbidden-destination" | "not-found" | "bucket-not-found" | "key-not-found" | "key-deleted" | "revision-not-found" | "method-not-allowed" | "not-acceptable" | "request-timeout" | "bucket-exists" | "bad-bucket" | "outside-mirror" | "epoch-changed" | "not-json" | "patch-test-failed" | "ttl-not-enabled" | "ttl-too-short" | "transactions-not-enabled" | "already-applied" | "revision-mismatch" | "key-exists" | "bucket-present" | "transaction-failed" | "value-too-large" | "body-too-large" | "key-too-long" | "unsupported-media-type" | "range-not-satisfiable" | "unknown-host" | "patch-not-applicable" | "idempotency-key-reused" | "precondition-required" | "overloaded" | "header-too-large" | "internal" | "upstream-error" | "nats-unavailable" | "busy" | "issuer-unavailable" | "shutting-down" | "too-many-streams" | "write-contention" | "timeout" | "outcome-unknown" | "revision-not-reached" | "not-in-memory" | "bucket-full" | "storage-exhausted";
/**
 * The code of a {@link Problem}: one of the gateway's, or one of this client's own.
 *
 * - `outcome-unknown`, also of this client: a write was sent and no answer to it came, so it may
 *   have been carried out or not
 * - `unreachable`: no answer came, and nothing was changed
 * - `unexpected-answer`: an answer came that is not the gateway's; `status` has its status
 * - `invalid-value`: a value does not match the schema; `issues` says why
 */
export type ProblemCode = GatewayCode | "unreachable" | "unexpected-answer" | "invalid-value" | (string & {});
/** A problem document of the gateway (RFC 9457). Some codes have members of their own. */
export interface ProblemDocument {
    type?: string;
    title?: string;
    status?: number;
    detail?: string;
    /** The id of the request, by which the gateway's operator finds it in the log. */
    instance?: string;
    [member: string]: unknown;
}
/** What a problem is made of beside its message. */
export interface ProblemInit {
    code?: ProblemCode;
    status?: number | undefined;
    problem?: ProblemDocument | undefined;
    retryAfter?: number | undefined;
    cause?: unknown;
}
/** Says why a request failed. `code` tells problems apart; `message` is for people. */
export declare class Problem extends Error {
    name: string;
    readonly code: ProblemCode;
    /** The status of the answer; undefined if none came. */
    readonly status: number | undefined;
    /** The gateway's problem document, with the members of its code. */
    readonly problem: ProblemDocument | undefined;
    /** For how many milliseconds the gateway asks to wait. */
    readonly retryAfter: number | undefined;
    readonly type: string | undefined;
    readonly title: string | undefined;
    /** What is wrong and what to do about it, in the gateway's words. */
    readonly detail: string | undefined;
    /** The message is the gateway's own, where there is a problem document. */
    constructor(message: string, { code, status, problem, retryAfter, cause }?: ProblemInit);
    /** Of `revision-mismatch` and `key-exists`: the revision that the key has now. */
    get currentRevision(): number | undefined;
}
/** Says why a stream was refused or broke. If `permanent`, there is no other attempt. */
export declare class StreamError extends Problem {
    name: string;
    permanent: boolean;
    constructor(message: string, init?: ProblemInit);
}
/** The error of a `problem` event. */
export declare const problemOf: (problem: ProblemDocument) => StreamError;
/**
 * Reports whether another attempt would be refused too. An attempt changes nothing, so every 5xx
 * is worth another one, also where the table says that a request must not be repeated.
 */
export declare const isPermanent: (status: number) => boolean;
/**
 * Whether the same request may succeed later. Not without more room in the bucket; and who waited
 * for a revision in vain would wait in vain again.
 */
export declare const isTransient: ({ code, status }: Problem) => boolean;
/** What the gateway answered in the end, if the error says that an earlier answer was lost. */
export declare const refusalIn: (error: unknown) => unknown;
/** Whether an error is a problem with one of these codes. */
export declare const hasCode: (error: unknown, ...codes: GatewayCode[]) => error is Problem;
/** The error of a change of which no answer says whether it was made. */
export declare const unknown: (cause: unknown) => Problem;
/** Reports whether an answer has a media type. */
export declare const hasType: ({ headers }: Response, type: string) => boolean;
/** The error of an answer that refuses a request. */
export declare function refusal(response: Response, Kind: typeof Problem): Promise<Problem>;
