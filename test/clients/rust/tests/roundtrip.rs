//! Proves that the client which openapi-generator makes for Rust works: one round trip.
//!
//! The stored bytes are read a second time with reqwest alone. The client sends no media type with
//! a value, so that each is stored without one, and returns no headers: the ETag is made of the
//! revision and the epoch.

use std::path::PathBuf;

use kvgateway::apis::buckets_api::{delete_bucket, list_buckets, put_bucket, DeleteBucketError};
use kvgateway::apis::configuration::Configuration;
use kvgateway::apis::keys_api::list_keys;
use kvgateway::apis::values_api::{delete_value, get_value, put_value, GetValueError, PutValueError};
use kvgateway::apis::Error;
use kvgateway::models::{BucketConfig, Problem, WriteResult};

struct Client {
    configuration: Configuration,
    bucket: String,
}

#[tokio::test]
async fn roundtrip() {
    let base_path = std::env::var("KVGW_URL").expect("set KVGW_URL, or use test/clients/run");
    let configuration = Configuration { base_path, ..Configuration::new() };
    let client = Client { configuration, bucket: format!("clients-rust-{}", std::process::id()) };
    client.create_bucket().await;
    // The slashes of the keys must arrive as they are, and the bytes that are not UTF-8, too.
    let binary: Vec<u8> = (0..512).map(|i| i as u8).collect();
    client.round("config/motd", "größer\r\n".as_bytes()).await;
    client.round("orders.17", b"[{\"qty\": 2},\n 9007199254740993]").await;
    client.round("images//logo", &binary).await;
    assert_eq!(client.keys().await, ["config/motd", "images//logo", "orders.17"]);
    client.list_buckets().await;
    client.delete("orders.17").await;
    assert_eq!(client.keys().await, ["config/motd", "images//logo"]);
    client.delete_bucket().await;
}

impl Client {
    async fn create_bucket(&self) {
        let config = BucketConfig { history: Some(5), ..BucketConfig::new() };
        let created = put_bucket(&self.configuration, &self.bucket, None, Some(config)).await;
        assert_eq!(created.unwrap().history, 5);
    }

    /// Stores a value twice, and once with an ETag that is not the last, which must be refused.
    async fn round(&self, key: &str, value: &[u8]) {
        let first = self.put(key, value, None).await.unwrap();
        self.stored(key, value).await;
        let stale = format!("\"{}-{}\"", first.revision, first.epoch);
        let longer = [value, b" "].concat();
        self.put(key, &longer, Some(&stale)).await.unwrap();
        match self.put(key, b"lost", Some(&stale)).await {
            Err(Error::ResponseError(refused)) => {
                assert_eq!(refused.status, 412);
                let Some(PutValueError::DefaultResponse(problem)) = refused.entity else {
                    panic!("not a problem: {}", refused.content);
                };
                is_problem(&problem, 412, "revision-mismatch");
                assert!(problem.current_revision.unwrap() > first.revision);
            }
            other => panic!("not refused: {other:?}"),
        }
        self.stored(key, &longer).await;
    }

    /// Stores bytes, which the client takes from a file.
    async fn put(
        &self, key: &str, value: &[u8], if_match: Option<&str>,
    ) -> Result<WriteResult, Error<PutValueError>> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("value");
        std::fs::write(&path, value).unwrap();
        put_value(
            &self.configuration, &self.bucket, key, None, if_match, None, None, None, None,
            Some(path),
        ).await
    }

    async fn get(&self, key: &str) -> Result<reqwest::Response, Error<GetValueError>> {
        get_value(
            &self.configuration, &self.bucket, key, None, None, None, None, None, None, None, None,
            None,
        ).await
    }

    /// Compares the bytes that are stored, as the client and as reqwest read them.
    async fn stored(&self, key: &str, value: &[u8]) {
        let read = self.get(key).await.unwrap().bytes().await.unwrap();
        assert_eq!(read, value);
        let path = key.replace('/', "%2F");
        let url = format!("{}/buckets/{}/keys/{path}", self.configuration.base_path, self.bucket);
        assert_eq!(reqwest::get(url).await.unwrap().bytes().await.unwrap(), value);
    }

    async fn keys(&self) -> Vec<String> {
        let list = list_keys(&self.configuration, &self.bucket, None, None, None, None, None).await;
        list.unwrap().keys
    }

    /// Lists the buckets in both forms.
    async fn list_buckets(&self) {
        let full = list_buckets(&self.configuration, None, None, None).await.unwrap();
        let buckets = full.buckets.unwrap();
        assert!(buckets.iter().any(|one| one.bucket == self.bucket && one.history == 5));
        let names = list_buckets(&self.configuration, Some(true), None, None).await.unwrap();
        assert!(names.names.unwrap().contains(&self.bucket));
    }

    async fn delete(&self, key: &str) {
        delete_value(&self.configuration, &self.bucket, key, None, None, None, None, None, None)
            .await
            .unwrap();
        match self.get(key).await {
            Err(Error::ResponseError(refused)) => {
                let Some(GetValueError::DefaultResponse(problem)) = refused.entity else {
                    panic!("not a problem: {}", refused.content);
                };
                is_problem(&problem, 404, "key-deleted");
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    async fn delete_bucket(&self) {
        delete_bucket(&self.configuration, &self.bucket).await.unwrap();
        match delete_bucket(&self.configuration, &self.bucket).await {
            Err(Error::ResponseError(refused)) => {
                let Some(DeleteBucketError::DefaultResponse(problem)) = refused.entity else {
                    panic!("not a problem: {}", refused.content);
                };
                is_problem(&problem, 404, "bucket-not-found");
            }
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn is_problem(problem: &Problem, status: i32, code: &str) {
    assert_eq!(problem.status, status);
    assert_eq!(problem.r#type, format!("/problems/{code}"));
}
