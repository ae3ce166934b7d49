//! The writer: one thread that makes every change. It takes the waiting requests, writes them as one batch, delivers the
//! publications in their order, and answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Building};
use crate::directory::{Directory, Witness, boot};
use crate::error::{DiskError, DiskErrorKind};
use crate::figures::{Figures, Unsynced};
use crate::keys::KeyAges;
use crate::notice::Notices;
use crate::options::Durability;
use crate::queue::{Request, Taken};
use crate::record::Header;
use crate::shared::Shared;
use crate::store::{Changes, Space, Store, corrupt};
use crate::sync::Syncs;
use crate::tidy::Tidy;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    directory: Directory,
    /// The header of the newest batch.
    header: Header,
    pub(crate) ages: KeyAges,
    pub(crate) tidy: Tidy,
    /// A batch that failed. The store may have it nevertheless.
    failed: Option<Box<Batch>>,
    is_broken: bool,
    has_panicked: bool,
    next_try: Instant,
    pause: Duration,
    syncs: Syncs,
    last_witness: (Instant, u64),
    /// The start of the machine, see [`Witness::boot`].
    boot: u64,
    last_look: Option<Instant>,
    last_measure: Option<Instant>,
    /// The directory is not at its path. Nothing is written: the storage may write into another one there.
    is_displaced: bool,
    notices: Notices,
    overload: Notices,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, directory: Directory, header: Header, syncs: Syncs) -> Self {
        let now = Instant::now();
        let mut writer = Self {
            shared,
            directory,
            header,
            ages: KeyAges::default(),
            tidy: Tidy::default(),
            failed: None,
            is_broken: false,
            has_panicked: false,
            next_try: now,
            pause: FIRST_PAUSE,
            syncs,
            last_witness: (now, header.batch),
            boot: boot(),
            last_look: None,
            last_measure: None,
            is_displaced: false,
            notices: Notices::default(),
            overload: Notices::default(),
        };
        // The engine is not ready from the beginning if there is no room.
        writer.look();
        writer
    }

    /// Works until the queue is closed.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let Taken { requests, is_last } = shared.queue.take(self.timeout());
            if is_last {
                return self.finish();
            }
            let turn = std::panic::AssertUnwindSafe(|| self.turn(requests));
            if std::panic::catch_unwind(turn).is_err() {
                self.break_off(DiskError::new(
                    DiskErrorKind::Unavailable,
                    "the storage panicked: it is opened again; see the log",
                ));
                // The states in memory may be older than the store.
                self.has_panicked = true;
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.syncs.next(self.sync_after()).unwrap_or(TICK).min(TICK)
    }

    fn turn(&mut self, requests: Vec<Request>) {
        self.report_overload();
        if self.is_broken {
            self.open_again();
        }
        let store = match (self.is_broken, self.shared.store()) {
            (false, Ok(store)) => store,
            (_, store) => {
                let error =
                    self.shared.health.lock().clone().or(store.err()).unwrap_or_else(crate::queue::stopped);
                return self.refuse(requests, &error);
            }
        };
        let is_idle = requests.is_empty();
        if is_idle && let Err(error) = store.check() {
            return self.break_off(error);
        }
        self.measure(&store);
        if !is_idle && let Err(error) = self.wait_for_sync(&store) {
            self.break_off(error.clone());
            return self.refuse(requests, &error);
        }
        let requests = match self.look() {
            Some(error) => {
                self.refuse(requests, &error);
                Vec::new()
            }
            None => requests,
        };
        if self.is_displaced {
            return;
        }
        // Without room, too, because this makes room.
        let shared = Arc::clone(&self.shared);
        let mut building = Building::new(&shared, &store, self.header);
        for request in requests {
            building.request(request);
        }
        let sync = building.is_for_requests() && shared.options.durability == Durability::Always;
        self.ages.expire(&mut building);
        self.tidy.visit(&mut building, if is_idle { IDLE_VISITS } else { VISITS });
        let batch = building.finish();
        self.write(&store, batch, sync);
        self.shared.channels.evict();
        if !self.is_broken {
            self.sync_in_time(&store);
        }
    }

    /// Writes a batch, delivers it, and answers.
    fn write(&mut self, store: &Store, mut batch: Batch, sync: bool) {
        if !batch.changes.is_empty() || batch.header.clock != self.header.clock {
            batch.header.batch = self.header.batch.saturating_add(1);
            batch.header.synced = self.shared.synced.load(Ordering::Relaxed);
            let began = Instant::now();
            if let Err(error) = store.commit(&batch.header, &batch.changes, sync) {
                let error = as_temporary(error);
                // Before the answers: the engine is not ready from here on.
                self.break_off(error.clone());
                batch.fail(&self.shared, &error);
                self.failed = Some(Box::new(batch));
                return;
            }
            Figures::add(&self.shared.figures.batches, 1);
            if sync {
                self.shared.figures.synced(began.elapsed());
            }
            self.written(&batch, began, sync);
            // Before the answers, so that a start notices if the end of the journal is lost. Writing this small record costs
            // little beside the batch.
            self.report(self.last_witness.1);
        }
        batch.deliver(&self.shared);
    }

    /// A batch is in the store.
    fn written(&mut self, batch: &Batch, since: Instant, is_synced: bool) {
        let header = &batch.header;
        self.header = *header;
        let shared = &self.shared;
        shared.written.store(header.batch, Ordering::Relaxed);
        if header.forgotten_until > 0 {
            shared.keys.forget_early(header.forgotten_until);
        }
        shared.clock_limit.store(header.clock, Ordering::Relaxed);
        if is_synced {
            self.syncs.all_synced();
            return self.synced(header.batch);
        }
        let bytes = u64::try_from(batch.changes.bytes()).unwrap_or(u64::MAX);
        self.syncs.wrote(header.batch, Unsynced { since, bytes });
        self.show_unsynced();
    }

    /// A batch, and every one before it, is on the disk.
    fn synced(&self, batch: u64) {
        self.shared.synced.fetch_max(batch, Ordering::Relaxed);
        self.show_unsynced();
    }

    fn show_unsynced(&self) {
        // With `Always` nothing of it was acknowledged.
        *self.shared.figures.unsynced.lock() = self.syncs.unsynced().filter(|_| self.may_lose());
    }

    /// Notes the end of a synchronisation, and begins the next one in time.
    fn sync_in_time(&mut self, store: &Arc<Store>) {
        match self.syncs.finished() {
            Some(Ok(batch)) => self.synced(batch),
            Some(Err(error)) => return self.break_off(as_temporary(error)),
            None => {}
        }
        if self.syncs.next(self.sync_after()).is_some_and(|rest| rest.is_zero()) {
            self.syncs.begin(store);
        }
        let synced = self.shared.synced.load(Ordering::Relaxed);
        let (last, reported) = self.last_witness;
        if synced > reported && last.elapsed() >= TICK {
            self.report(synced);
            self.last_witness = (Instant::now(), synced);
        }
    }

    /// Holds the requests up while acknowledged changes are older than the interval: the disk is too slow for it.
    fn wait_for_sync(&mut self, store: &Arc<Store>) -> Result<(), DiskError> {
        let Durability::Interval(interval) = self.shared.options.durability else { return Ok(()) };
        while self.syncs.unsynced().is_some_and(|unsynced| unsynced.since.elapsed() >= interval) {
            self.syncs.begin(store);
            match self.syncs.wait() {
                Some(result) => self.synced(result.map_err(as_temporary)?),
                None => break,
            }
        }
        Ok(())
    }

    /// The age of changes at which their synchronisation begins. The other half of the interval is left for its work: until
    /// then the answers go on.
    fn sync_after(&self) -> Duration {
        match self.shared.options.durability {
            Durability::Interval(interval) => interval.checked_div(2).unwrap_or(interval),
            // Only the store's own work is not synchronised yet.
            _ => TICK,
        }
    }

    /// `true` if acknowledged changes may not be on the disk yet.
    fn may_lose(&self) -> bool {
        self.shared.options.durability != Durability::Always
    }

    /// Writes the numbers of a synchronised batch and of the newest batch beside the store. See [`Witness`].
    fn report(&mut self, synced: u64) {
        let acknowledged = self.header.batch;
        let witness = Witness { synced, acknowledged, may_lose: self.may_lose(), boot: self.boot };
        if let Err(error) = self.directory.set_witness(&witness, false) {
            tracing::warn!(%error, "the file `synced` in the data directory can't be written");
        }
    }

    /// The last work: everything goes to the disk, and the directory is given back.
    fn finish(mut self) {
        let result = self.close();
        if let Err(error) = &result {
            tracing::error!(%error, "the last publications may not be on the disk");
        }
        let Self { shared, directory, .. } = self;
        drop(directory);
        shared.end.reach(result);
    }

    fn close(&mut self) -> Result<(), DiskError> {
        let store = self.shared.store.write().take();
        let store = store
            .filter(|_| !self.is_broken)
            .ok_or_else(|| self.shared.health.lock().clone().unwrap_or_else(crate::queue::stopped))?;
        self.directory.check_place()?;
        // After a proper stop the clock goes on at this time.
        self.header.clock = self.shared.clock.now();
        self.header.batch = self.header.batch.saturating_add(1);
        self.header.synced = self.shared.synced.load(Ordering::Relaxed);
        store.commit(&self.header, &Changes::default(), true)?;
        wait_and_drop(store);
        let batch = self.header.batch;
        let witness = Witness { synced: batch, acknowledged: batch, may_lose: false, boot: self.boot };
        let written = self.directory.set_witness(&witness, true);
        written.map_err(|error| DiskError::io(self.directory.path(), error))
    }

    /// Looks for the directory and for free space now and then: the storage works badly without them.
    fn look(&mut self) -> Option<DiskError> {
        if self.last_look.is_some_and(|last| last.elapsed() < LOOK) {
            return self.shared.health.lock().clone();
        }
        self.last_look = Some(Instant::now());
        let result = self.directory.check_place();
        self.is_displaced = result.is_err();
        let result = result.and_then(|()| self.check_room());
        let before = self.shared.health.lock().clone();
        *self.shared.health.lock() = result.as_ref().err().cloned();
        match (&result, before) {
            (Err(error), None) => self.refusing(error, "publishes are refused"),
            (Ok(()), Some(_)) => self.accepting("the disk and the directory are in order again"),
            _ => {}
        }
        result.err()
    }

    /// Looks for the size of the files now and then.
    fn measure(&mut self, store: &Store) {
        if self.last_measure.is_some_and(|last| last.elapsed() < TICK) {
            return;
        }
        self.last_measure = Some(Instant::now());
        if let Some(bytes) = store.bytes() {
            self.shared.figures.disk_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    fn check_room(&self) -> Result<(), DiskError> {
        let wanted = self.shared.options.free_bytes;
        let free = self.directory.free_bytes().unwrap_or(u64::MAX);
        self.shared.figures.free_bytes.store(free, Ordering::Relaxed);
        if free >= wanted {
            return Ok(());
        }
        let path = self.directory.path().display();
        Err(DiskError::new(
            DiskErrorKind::Full,
            format!("{path}: only {free} bytes of the disk are free, and {wanted} are needed: make room"),
        ))
    }

    /// Logs the beginning of a state in which publishes are refused.
    fn refusing(&mut self, error: &DiskError, state: &str) {
        if self.notices.begin(Instant::now()) {
            tracing::error!(%error, "{state}");
        }
    }

    /// Logs its end.
    fn accepting(&mut self, state: &str) {
        if let Some(refused) = self.notices.end() {
            tracing::info!(refused, "{state}: publishes are accepted");
        }
    }

    /// Refuses requests that need the store.
    fn refuse(&mut self, requests: Vec<Request>, error: &DiskError) {
        let count = u64::try_from(requests.len()).unwrap_or(u64::MAX);
        crate::batch::refuse(&self.shared, requests, error);
        if let Some(refused) = self.notices.refuse(count, Instant::now()) {
            tracing::error!(%error, refused, "publishes are refused");
        }
    }

    fn report_overload(&mut self) {
        let refused = self.shared.queue.take_refused();
        if let Some(refused) = self.overload.refuse(refused, Instant::now()) {
            tracing::error!(refused, "too many requests wait for the disk: some were refused");
        }
    }

    /// The store does not work: it is opened again as soon as possible. Until then, what is in it can be read.
    fn break_off(&mut self, error: DiskError) {
        self.refusing(&error, "the store failed: publishes are refused until it works again");
        *self.shared.health.lock() = Some(error);
        self.is_broken = true;
        (self.next_try, self.pause) = (Instant::now(), FIRST_PAUSE);
    }

    fn open_again(&mut self) {
        if Instant::now() < self.next_try {
            return;
        }
        self.pause = self.pause.saturating_mul(2).min(LAST_PAUSE);
        self.next_try = Instant::now().checked_add(self.pause).unwrap_or(self.next_try);
        let place = self.directory.check_place();
        if let Err(error) = place.and_then(|()| self.check_room()) {
            *self.shared.health.lock() = Some(error);
            return;
        }
        if self.directory.probe().is_err() {
            return;
        }
        match self.reopened() {
            Ok(()) => {
                *self.shared.health.lock() = None;
                self.is_broken = false;
                self.accepting("the store works again");
            }
            Err(error) => {
                self.refusing(&error, "the store can't be opened");
                *self.shared.health.lock() = Some(as_temporary(error));
            }
        }
    }

    fn reopened(&mut self) -> Result<(), DiskError> {
        // The store is in use until its end. Everything is synchronised again after the opening.
        let _ = self.syncs.wait();
        let old = self.shared.store.write().take();
        if let Some(old) = old {
            wait_and_drop(old);
        }
        let path = self.directory.store();
        crate::journal::check(&path)?;
        let store = Store::open(&path, &self.shared.options)?;
        let header = read_header(&store, &path)?;
        let failed = self.failed.take();
        if header.batch < self.header.batch {
            self.failed = failed;
            return Err(corrupt(&path, "acknowledged publications are missing"));
        }
        self.ages = KeyAges::default();
        if std::mem::take(&mut self.has_panicked) {
            self.shared.channels.clear();
        }
        *self.shared.store.write() = Some(Arc::new(store));
        match failed {
            // The batch has reached the store, although it was reported as failed.
            Some(batch) if header == batch.header => {
                self.written(&batch, Instant::now(), false);
                batch.deliver(&self.shared);
            }
            _ => self.header = header,
        }
        Ok(())
    }
}

/// Closes a store. Readers keep it for the time of one request.
fn wait_and_drop(store: Arc<Store>) {
    let mut store = store;
    loop {
        match Arc::try_unwrap(store) {
            Ok(store) => return drop(store),
            Err(shared) => store = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn read_header(store: &Store, path: &std::path::Path) -> Result<Header, DiskError> {
    let value = store.get(Space::Meta, Header::KEY)?;
    let header = value.as_deref().and_then(Header::decode);
    header.ok_or_else(|| corrupt(path, "the header of the store is missing or damaged"))
}

/// A failed write is repeated later, so callers may repeat, too.
fn as_temporary(error: DiskError) -> DiskError {
    match error.kind() {
        DiskErrorKind::Full | DiskErrorKind::Corrupt => error,
        _ => DiskError::new(DiskErrorKind::Unavailable, error.to_string()).with(error),
    }
}

/// The time between two looks of the writer without requests.
const TICK: Duration = Duration::from_secs(1);

/// The time between two looks for free space.
const LOOK: Duration = Duration::from_millis(100);

/// The pauses before a store is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The number of channels that are visited in each batch to tidy them up, and without requests.
const VISITS: usize = 8;
const IDLE_VISITS: usize = 512;
