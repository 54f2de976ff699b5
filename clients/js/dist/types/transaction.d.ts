import { type Schema } from "./value.js";
/** The condition of one operation, on the bucket as it is before the transaction. */
interface OperationCondition {
    key: string;
    /** The key's last revision is this; 0 means that it was never written. */
    ifRevision?: number | undefined;
    /** The key has no value. */
    ifAbsent?: boolean | undefined;
}
/** One operation of a transaction. A `check` only has a condition. */
export type Operation<T = unknown> = (OperationCondition & {
    op: "put";
    value: T;
    contentType?: string | undefined;
    ttl?: number | string | undefined;
}) | (OperationCondition & {
    op: "delete" | "check";
}) | (OperationCondition & {
    op: "purge";
    ttl?: number | string | undefined;
});
/** What a transaction made; of a check, the revision that it found. */
export interface Transacted {
    readonly revision: number;
    readonly epoch: string;
    readonly results: readonly {
        readonly key: string;
        readonly revision: number;
    }[];
}
/** An operation as the gateway takes it. */
export declare function wireOf<T>(operation: Operation<T>, schema: Schema<unknown, T> | undefined): Record<string, unknown>;
export {};
