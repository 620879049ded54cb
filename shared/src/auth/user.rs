//! People, who come with an ID token instead of a key, and own a tenant.

use aws_lc_rs::digest::{SHA256, digest};

use super::oidc::{Identity, TokenError, Verifier};
use crate::clock::Clock;
use crate::config::Oidc;
use crate::id::TenantId;
use crate::limit::{Bucket, LimitError, Limiter, Rate, RateStatus};
use crate::store::{GateRequest, Store, StoreError, TenantItem, UserItem};

/// The documented requests a minute, over all endpoints that take ID tokens.
const REQUESTS: u32 = 60;

/// A person. Only [`Users::identify`] makes one.
#[derive(Clone, Debug)]
pub struct User {
    identity: Identity,
    hash: String,
    tenant: Option<TenantId>,
    bucket: Bucket,
    full_at: Option<i64>,
}

impl User {
    /// What names them within this deployment: no more can be read from it than that.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What is theirs, where they were seen before.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }
}

/// Why a person is not let in.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who knows people; one for the life of the process.
#[derive(Clone, Debug)]
pub struct Users {
    verifier: Option<Verifier>,
    store: Store,
    clock: Clock,
    limiter: Limiter,
}

impl Users {
    /// People for whom this provider vouches; nobody, where there is none.
    #[must_use]
    pub fn new(oidc: Option<Oidc>, client: reqwest::Client, store: Store, clock: Clock) -> Self {
        let verifier = oidc.map(|settings| Verifier::new(settings, client, clock.clone()));
        Self { verifier, limiter: Limiter::new(store.clone(), clock.clone()), store, clock }
    }

    /// Who it is that comes with this ID token. Nothing is written.
    ///
    /// # Errors
    /// Where the token does not hold.
    pub async fn identify(&self, token: Option<&str>) -> Result<User, UserError> {
        let verifier = self.verifier.as_ref().ok_or(TokenError::NotConfigured)?;
        let verified = verifier.verify(token.ok_or(TokenError::Missing)?).await;
        if let Err(TokenError::Invalid(reason)) = verified {
            tracing::info!(reason, "an ID token does not hold");
        }
        let identity = verified?;
        let hash = hash(&identity.issuer, &identity.subject);
        let bucket = Bucket { identity: format!("user#{hash}"), rate: Rate::per_minute(REQUESTS) };
        let wanted = GateRequest { buckets: vec![bucket.identity.clone()], ..GateRequest::default() };
        let (known, gate) = tokio::try_join!(self.store.user(&hash), self.store.read_gate(&wanted))?;
        let full_at = gate.buckets.into_iter().next().flatten();
        Ok(User { identity, hash, tenant: known.map(|user| user.tenant), bucket, full_at })
    }

    /// Takes the user's rate token.
    ///
    /// # Errors
    /// Where the bucket is empty; nothing is written then.
    pub async fn take(&self, user: &User) -> Result<RateStatus, LimitError> {
        self.limiter.take(&user.bucket, user.full_at).await
    }

    /// What is theirs. On first sight it is made, on the free plan.
    ///
    /// # Errors
    /// Where the table fails.
    pub async fn tenant(&self, user: &User) -> Result<TenantId, StoreError> {
        match &user.tenant {
            Some(tenant) => Ok(tenant.clone()),
            None => settle(&self.store, &self.clock, &user.identity.issuer, &user.identity.subject).await,
        }
    }
}

/// The tenant of a user, made on the free plan where there is none: by the one who is first, if several make it at once.
///
/// # Errors
/// Where the table fails.
pub async fn settle(store: &Store, clock: &Clock, issuer: &str, subject: &str) -> Result<TenantId, StoreError> {
    let hash = hash(issuer, subject);
    if let Some(known) = store.user(&hash).await? {
        return Ok(known.tenant);
    }
    let tenant = TenantItem::new(TenantId::generate(), clock.now_ms());
    let user = item(issuer, subject, tenant.tenant.clone(), clock.now_ms());
    if store.put_new_user(&user, &tenant).await? {
        return Ok(tenant.tenant);
    }
    store.user(&hash).await?.map(|known| known.tenant).ok_or(StoreError::Contended)
}

/// A user as the table keeps them.
#[must_use]
pub fn item(issuer: &str, subject: &str, tenant: TenantId, now_ms: i64) -> UserItem {
    UserItem {
        hash: hash(issuer, subject),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        tenant,
        created_at: now_ms,
    }
}

/// Neither part holds a line's end: no two users share the text.
fn hash(issuer: &str, subject: &str) -> String {
    hex::encode(digest(&SHA256, format!("{issuer}\n{subject}").as_bytes()))
}
