//! A bench whose people come with ID tokens.

use shared::auth::user;
use shared::id::TenantId;
use shared::store::TenantItem;

use crate::{BEGIN, Bench, Issuer};

/// A bench with an identity provider, and `ada`, who owns the bench's tenant.
pub struct Signed {
    /// The bench.
    pub bench: Bench,
    /// The identity provider.
    pub issuer: Issuer,
    /// Ada's ID token.
    pub ada: String,
}

impl Signed {
    /// A bench whose tenant is on this plan.
    pub async fn new(plan: &str) -> Self {
        Self::with(plan, &[]).await
    }

    /// A bench whose tenant is on this plan, with these variables as its environment.
    pub async fn with(plan: &str, variables: &[(&str, &str)]) -> Self {
        let issuer = Issuer::start().await;
        let name = issuer.name();
        let own = [("ORRERY_OIDC_ISSUER", name.as_str()), ("ORRERY_OIDC_AUDIENCE", "test")];
        let bench = Bench::with(plan, &[&own, variables].concat()).await;
        let signed = Self { bench, ada: issuer.token("ada"), issuer };
        signed.user("ada", &signed.bench.tenant).await;
        signed
    }

    /// A user who owns this tenant: their ID token.
    pub async fn user(&self, subject: &str, tenant: &TenantId) -> String {
        let user = user::item(&self.issuer.name(), subject, tenant.clone(), BEGIN);
        self.bench.app.store().put_user(&user).await.unwrap();
        self.issuer.token(subject)
    }

    /// A user who owns another tenant: their ID token.
    pub async fn stranger(&self, subject: &str) -> String {
        let tenant = TenantItem { plan: "enterprise".to_owned(), ..TenantItem::new(TenantId::generate(), BEGIN) };
        self.bench.app.store().put_tenant(&tenant).await.unwrap();
        self.user(subject, &tenant.tenant).await
    }
}
