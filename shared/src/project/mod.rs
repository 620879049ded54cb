//! Apps: projects as the app dialect serves them.

mod execute;
mod session;
mod sweep;

pub use execute::execute;
pub use session::{begin_session, end_session};
pub use sweep::end_sessions;
