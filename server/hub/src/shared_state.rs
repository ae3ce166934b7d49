//! Values of the application, which handlers and hooks take by their types.

use std::any::Any;
use std::sync::Arc;

/// A value of any type.
#[derive(Debug, Clone)]
pub(crate) struct SharedState(Arc<dyn Any + Send + Sync>);

impl SharedState {
    pub(crate) fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self(Arc::new(value))
    }

    /// The value, if it is of this type.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.0).downcast().ok()
    }
}

/// Two are equal if they are the same value: its type is unknown here.
impl PartialEq for SharedState {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedState {}
