/** The head of the screens of a bucket: where the user is, and what else there is of it. */
import { may } from "./api.js";

/** The screens of a bucket: the end of the address, the label, and the right that it takes. */
export const BUCKET_SCREENS = [
  ["", "Keys", "list"], ["watch", "Watch", "watch"], ["transfer", "Import and export", "get"],
];

export function BucketHead({ bucket, here, children }) {
  return (
    <header class="head">
      <h1 tabIndex={-1}><a href="#/">Buckets</a> <span class="soft">/</span> {bucket}</h1>
      {children}
      {BUCKET_SCREENS.length > 1 && <nav class="tabs" aria-label={`Screens of ${bucket}`}>
        {BUCKET_SCREENS.filter(([, , right]) => may(right, bucket)).map(([path, label]) => (
          <a key={path} href={`#/b/${bucket}${path && `/${path}`}`}
            aria-current={path === here ? "page" : undefined}>{label}</a>
        ))}
      </nav>}
    </header>
  );
}
