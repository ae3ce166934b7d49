//! News of alarms from other nodes.

use std::sync::Weak;

use crate::engine::NodeId;
use crate::hub::record_value::{ValueReader, ValueWriter};
use crate::hub::{Hub, Inner};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct AlarmNews;

impl AlarmNews {
    pub(super) fn write(&self, _: &mut ValueWriter) {}

    pub(super) fn read(_: &mut ValueReader) -> Option<Self> {
        Some(Self)
    }
}

impl Hub {
    pub(super) fn take_alarm_news(&self, _: NodeId, _: AlarmNews) {}
}

pub(super) async fn share(_: Weak<Inner>) {}

pub(super) async fn catch_up(_: Weak<Inner>) {}
