//! The adapter for async-nats: it carries out the commands of test/native/README.md.

use std::{env, error::Error, fmt::Write as _, time::Duration};

use async_nats::jetstream::{
    self,
    kv::{Config, CreateErrorKind, DeleteErrorKind, Entry, Operation, Store, UpdateErrorKind, Watch},
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};

/// An answer that is not "ok", or the text of a failure.
enum Not {
    Missing,
    Conflict,
    End,
    Timeout,
    Cannot(&'static str),
    Failed(String),
}

type Answer = Result<Vec<String>, Not>;

fn failed(err: impl Error) -> Not {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    Not::Failed(text)
}

/// The bucket and the watch that the next commands are about.
struct Adapter {
    js: jetstream::Context,
    kv: Option<Store>,
    watch: Option<Watch>,
    mark: Mark,
}

/// The client has no mark for the end of the initial values. Its seen_current is true from the
/// last of them on, so the mark comes behind the first such entry.
#[derive(PartialEq)]
enum Mark {
    Awaited,
    Due,
    Told,
}

impl Adapter {
    fn kv(&self) -> &Store {
        self.kv.as_ref().expect("a bucket")
    }

    async fn carry_out(&mut self, name: &str, args: &[&str]) -> Answer {
        match name {
            "client" => Ok(vec!["async-nats".into(), library_version()]),
            "create" => self.create(args).await,
            "bind" => self.bind(args[0]).await,
            "status" => {
                let status = self.kv().status().await.map_err(failed)?;
                let ttl = status.max_age().as_millis().to_string();
                Ok(vec![status.history().to_string(), ttl])
            }
            "get" => entry(self.kv().entry(args[0]).await),
            "revision" => entry(self.kv().entry_for_revision(args[0], number(args[1])).await),
            "put" if args[2] != "0" => Err(Not::Cannot("put takes no time to live")),
            "put" => revision(self.kv().put(args[0], value(args[1])).await.map_err(failed)),
            "create-key" => self.create_key(args).await,
            "update" => revision(self.update(args[0], value(args[1]), number(args[2])).await),
            "delete" => self.delete(args[0], number(args[1])).await,
            "purge" => self.purge(args[0], args[1]).await,
            "keys" => self.keys().await,
            "history" => self.history(args[0]).await,
            "watch" => {
                let watch = match number(args[1]) {
                    0 => self.kv().watch_with_history(args[0]).await,
                    revision => self.kv().watch_from_revision(args[0], revision).await,
                };
                self.watch = Some(watch.map_err(failed)?);
                self.mark = Mark::Awaited;
                Ok(vec![])
            }
            "next" => self.next(milliseconds(args[0])).await,
            "unwatch" => {
                self.watch = None;
                Ok(vec![])
            }
            "increment" => self.increment(args[0], number(args[1])).await,
            _ => Err(Not::Failed(format!("unknown command {name}"))),
        }
    }

    async fn create(&mut self, args: &[&str]) -> Answer {
        let markers = milliseconds(args[3]);
        let config = Config {
            bucket: args[0].into(),
            history: number(args[1]) as i64,
            max_age: milliseconds(args[2]),
            limit_markers: (!markers.is_zero()).then_some(markers),
            ..Default::default()
        };
        self.kv = Some(self.js.create_key_value(config).await.map_err(failed)?);
        Ok(vec![])
    }

    async fn bind(&mut self, bucket: &str) -> Answer {
        match self.js.get_key_value(bucket).await {
            Ok(kv) => self.kv = Some(kv),
            Err(err) => {
                return Err(match failed(err) {
                    Not::Failed(text) if text.contains("stream not found") => Not::Missing,
                    other => other,
                });
            }
        }
        Ok(vec![])
    }

    async fn create_key(&self, args: &[&str]) -> Answer {
        let (kv, ttl) = (self.kv(), milliseconds(args[2]));
        let created = if ttl.is_zero() {
            kv.create(args[0], value(args[1])).await
        } else {
            kv.create_with_ttl(args[0], value(args[1]), ttl).await
        };
        revision(created.map_err(|err| match err.kind() {
            CreateErrorKind::AlreadyExists => Not::Conflict,
            _ => failed(err),
        }))
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Not> {
        self.kv().update(key, value, revision).await.map_err(|err| match err.kind() {
            UpdateErrorKind::WrongLastRevision => Not::Conflict,
            _ => failed(err),
        })
    }

    async fn delete(&self, key: &str, revision: u64) -> Answer {
        let expected = (revision != 0).then_some(revision);
        match self.kv().delete_expect_revision(key, expected).await {
            Ok(()) => Ok(vec![]),
            Err(err) if err.kind() == DeleteErrorKind::WrongLastRevision => Err(Not::Conflict),
            Err(err) => Err(failed(err)),
        }
    }

    async fn purge(&self, key: &str, ttl: &str) -> Answer {
        let ttl = milliseconds(ttl);
        let purged = if ttl.is_zero() {
            self.kv().purge(key).await
        } else {
            self.kv().purge_with_ttl(key, ttl).await
        };
        purged.map(|()| vec![]).map_err(failed)
    }

    async fn keys(&self) -> Answer {
        let mut keys = self.kv().keys().await.map_err(failed)?;
        let mut found = vec![];
        while let Some(key) = keys.next().await {
            found.push(key.map_err(failed)?);
        }
        Ok(found)
    }

    async fn history(&self, key: &str) -> Answer {
        let mut history = self.kv().history(key).await.map_err(failed)?;
        let mut found = vec![];
        while let Some(e) = history.next().await {
            let e = e.map_err(failed)?;
            found.push(format!("{}:{}:{}", operation(&e), e.revision, hex(&e.value)));
        }
        Ok(found)
    }

    async fn next(&mut self, patience: Duration) -> Answer {
        if self.mark == Mark::Due {
            self.mark = Mark::Told;
            return Err(Not::End);
        }
        let watch = self.watch.as_mut().expect("a watch");
        let e = match tokio::time::timeout(patience, watch.next()).await {
            Err(_) => return Err(Not::Timeout),
            Ok(None) => return Err(Not::Failed("the watch ended".into())),
            Ok(Some(update)) => update.map_err(failed)?,
        };
        if e.seen_current && self.mark == Mark::Awaited {
            self.mark = Mark::Due;
        }
        Ok(vec![operation(&e).into(), e.revision.to_string(), e.key.clone(), hex(&e.value)])
    }

    /// Adds one to the number under a key as often as told, by compare-and-set, and answers how
    /// often it lost a race.
    async fn increment(&self, key: &str, times: u64) -> Answer {
        let (mut done, mut lost) = (0, 0);
        while done < times {
            let read = self.kv().entry(key).await.map_err(failed)?.ok_or(Not::Missing)?;
            let more = (number(&String::from_utf8_lossy(&read.value)) + 1).to_string();
            match self.update(key, more.into(), read.revision).await {
                Ok(_) => done += 1,
                Err(Not::Conflict) => lost += 1,
                Err(other) => return Err(other),
            }
        }
        Ok(vec![lost.to_string()])
    }
}

fn entry(read: Result<Option<Entry>, impl Error>) -> Answer {
    match read.map_err(failed)? {
        Some(e) if e.operation == Operation::Put => Ok(vec![e.revision.to_string(), hex(&e.value)]),
        _ => Err(Not::Missing),
    }
}

fn revision(written: Result<u64, Not>) -> Answer {
    Ok(vec![written?.to_string()])
}

fn operation(e: &Entry) -> &'static str {
    match e.operation {
        Operation::Put => "put",
        Operation::Delete => "delete",
        Operation::Purge => "purge",
    }
}

// What follows reads what the runner has written, and writes what it reads.

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(number(text))
}

fn value(text: &str) -> Bytes {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn hex(value: &[u8]) -> String {
    let mut text = String::with_capacity(2 * value.len());
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn library_version() -> String {
    let (_, entry) = include_str!("../Cargo.lock").split_once("name = \"async-nats\"\n").unwrap();
    entry.split('"').nth(1).unwrap().into()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("no address of NATS")?;
    let js = jetstream::new(async_nats::connect(address).await?);
    let mut adapter = Adapter { js, kv: None, watch: None, mark: Mark::Awaited };
    let mut lines = BufReader::new(stdin()).lines();
    let mut out = stdout();
    while let Some(line) = lines.next_line().await? {
        let fields: Vec<&str> = line.split('\t').collect();
        let answer = match adapter.carry_out(fields[0], &fields[1..]).await {
            Ok(fields) => [vec!["ok".to_string()], fields].concat().join("\t"),
            Err(Not::Missing) => "missing".into(),
            Err(Not::Conflict) => "conflict".into(),
            Err(Not::End) => "end".into(),
            Err(Not::Timeout) => "timeout".into(),
            Err(Not::Cannot(reason)) => format!("cannot\t{reason}"),
            Err(Not::Failed(text)) => format!("error\t{}", text.replace('\n', " ")),
        };
        out.write_all(format!("{answer}\n").as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}
