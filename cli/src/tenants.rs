//! `orrery tenant`: a tenant, its plan, and who owns it.

use serde::Serialize;
use shared::limit::Plan;
use shared::store::{TenantItem, UserItem};

use crate::args::{TenantArguments, TenantCommand, TenantGrantArguments, TenantPlanArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::when;

/// A tenant as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    plan: &'a str,
    created_at: String,
}

pub(crate) async fn run(command: TenantCommand) -> Result<(), CommandError> {
    match command {
        TenantCommand::Show(arguments) => show(&arguments).await,
        TenantCommand::Plan(arguments) => plan(&arguments).await,
        TenantCommand::Grant(arguments) => grant(&arguments).await,
    }
}

async fn show(arguments: &TenantArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    tell(&read(&place).await?, arguments.output.into());
    Ok(())
}

async fn plan(arguments: &TenantPlanArguments) -> Result<(), CommandError> {
    let plan: Plan = arguments.plan.parse()?;
    let place = Place::open(&arguments.table).await?;
    let tenant = TenantItem {
        plan: plan.name().to_owned(),
        requests_per_minute: arguments.requests_per_minute,
        requests_per_day: arguments.requests_per_day,
        ..read(&place).await?
    };
    place.store.put_tenant(&tenant).await?;
    tell(&tenant, arguments.output.into());
    Ok(())
}

async fn grant(arguments: &TenantGrantArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let user = place.user(&arguments.subject, arguments.table.issuer.as_deref())?;
    let before = place.store.user(&user.hash).await?;
    place.store.put_user(&user).await?;
    if let Some(UserItem { tenant, .. }) = before.filter(|before| before.tenant != user.tenant) {
        output::note(&format!("{} owned {tenant} before.", user.subject));
    }
    tell(&read(&place).await?, arguments.output.into());
    Ok(())
}

/// The place's tenant: opening the place has made it where it was missing.
async fn read(place: &Place) -> Result<TenantItem, CommandError> {
    let gone = || CommandError::Overtaken(place.tenant.to_string());
    place.store.tenant(&place.tenant).await?.ok_or_else(gone)
}

fn tell(tenant: &TenantItem, output: Output) {
    let id = tenant.tenant.as_str();
    let created_at = when::shown(tenant.created_at);
    match output {
        Output::Json => output::json(&Shown { id, plan: &tenant.plan, created_at }),
        Output::Quiet => output::data(id),
        Output::Text => {
            output::table(["id", "plan", "created"], &[[id.to_owned(), tenant.plan.clone(), created_at]]);
        }
    }
}
