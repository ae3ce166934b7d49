//! Engines: the storage of history and of the keys of publishes, and the transport of publications to hubs.
//!
//! An engine is made of small traits, one for each concern:
//!
//! - [`Publications`]: publishing, recovery and history. Every engine has it.
//! - [`Attachments`]: for an engine that carries only the channels with subscribers to a hub.
//! - [`Records`]: for an engine that outlives the process.
//! - [`Backups`]: for an engine that copies its data while it works.
//! - [`Nodes`] and [`Presence`]: for an engine that serves several hubs.

use std::fmt;

mod attachments;
mod backups;
#[cfg(any(test, feature = "conformance"))]
#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "without it the tests alone use it")
)]
pub mod conformance;
mod delivery;
mod error;
#[cfg(any(test, feature = "conformance"))]
mod faulty;
#[cfg(any(test, feature = "conformance"))]
mod fleet;
mod future;
mod guarded;
mod key_window;
mod memory;
mod metric;
mod nodes;
mod presence;
mod publications;
mod records;
#[cfg(test)]
pub(crate) mod storing;

pub use self::attachments::Attachments;
pub use self::backups::{Backup, BackupError, BackupState, Backups, check_backup_name};
pub use self::delivery::{Delivery, DeliveryRecipient, Epoch};
pub(crate) use self::error::engine_failure;
pub use self::error::{EngineError, EngineErrorKind};
#[cfg(any(test, feature = "conformance"))]
#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "without it the tests alone use it")
)]
pub use self::faulty::FaultyEngine;
#[cfg(any(test, feature = "conformance"))]
#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "without it the tests alone use it")
)]
pub use self::fleet::{MemoryFleet, MemoryNode};
pub use self::future::EngineFuture;
pub(crate) use self::guarded::GuardedEngine;
pub use self::key_window::KeyWindow;
pub use self::memory::MemoryEngine;
pub use self::metric::{EngineMetric, EngineMetricValue};
pub use self::nodes::{NODE_EXPIRY, Node, NodeId, NodeIdError, NodeReport, Nodes};
pub use self::presence::{Presence, PresenceEntry};
pub(crate) use self::publications::PAGE_BYTES;
pub use self::publications::{EnginePublish, Locate, Located, Publications, ReadHistory};
pub use self::records::{Record, RecordKind, Records};

/// Keeps the history of channels and the keys of publishes, and carries each publication to the hub's [`Delivery`].
///
/// [`MemoryEngine`] is the default; [`Builder::engine`](crate::Builder::engine) sets another one. The suites in the
/// feature `conformance` check the promises of its parts for any engine.
///
/// Sessions' tasks call the methods of an engine, so they must not block. They may deliver before they return. A dropped
/// answer does not take the request back. A panic is logged, and counts as a failed answer.
pub trait Engine: Publications + fmt::Debug + Send + Sync + 'static {
    /// Starts the engine. Called once, before every other method.
    fn start(&self, delivery: Delivery);

    /// Checks that the engine can work at the moment. If not, `/ready` answers with the status 503.
    ///
    /// # Errors
    /// The reason why the engine can't work.
    fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The figures for `/metrics`, in the order in which they are shown. They are asked for at each request, so they should be
    /// at hand. Default: none.
    fn metrics(&self) -> Vec<EngineMetric> {
        Vec::new()
    }

    /// The attachments, if this engine carries only the publications of attached channels to its hub. Default: none, every
    /// publication reaches the hub.
    fn attachments(&self) -> Option<&dyn Attachments> {
        None
    }

    /// The store of values that outlive the process. Default: none, they are lost with it.
    fn records(&self) -> Option<&dyn Records> {
        None
    }

    /// The backups, if an operator has configured a place for them. Default: none.
    fn backups(&self) -> Option<&dyn Backups> {
        None
    }

    /// The nodes, if this engine serves several hubs. Default: none, the hub is alone.
    fn nodes(&self) -> Option<&dyn Nodes> {
        None
    }

    /// The members of channels on all nodes, if this engine serves several hubs. Default: none, the hub knows all members.
    fn presence(&self) -> Option<&dyn Presence> {
        None
    }

    /// Stops the engine. Called once, after the last session has ended. The answer comes when everything that was accepted is
    /// as safe as the engine can make it. Publishes that come later may be refused.
    fn stop(&self) -> EngineFuture<()> {
        EngineFuture::Now(Ok(()))
    }
}
