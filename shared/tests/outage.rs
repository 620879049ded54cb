//! A table that takes calls and never answers.

use std::time::Duration;

use shared::app::App;
use shared::clock::Clock;
use shared::config::Config;
use shared::id::TenantId;
use shared::store::StoreError;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn a_table_that_never_answers_is_given_up_within_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let config = Config::read(settings.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    let app = App::in_the_cloud(config, Clock::system()).unwrap();
    let tenant = TenantId::generate();
    let outcome = timeout(Duration::from_secs(10), app.store().tenant(&tenant)).await;
    let error = outcome.unwrap_or_else(|_| panic!("still waiting")).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}
