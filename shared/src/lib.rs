//! What two or more of Orrery's functions need. From the door inwards: a layer uses those below it, never one above.

pub mod tool;

pub mod egress;
pub mod model;

pub mod agent;

pub mod clock;
pub mod id;
pub mod outbound;
