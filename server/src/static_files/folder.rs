//! The directory of static files, without anything that a link outside of it refers to.

use std::fs;
use std::future::{Ready, ready};
use std::io::{self, Cursor, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::task::spawn_blocking;
use tower_http::services::fs::{Backend, File, Metadata};

use super::compressed::{Compressed, Version};

/// Finds and opens files for [`ServeDir`](tower_http::services::ServeDir).
#[derive(Clone)]
pub(super) struct Folder {
    root: Arc<Path>,
    compressed: Arc<Compressed>,
    /// True if a request for a file with `.gz` appended, which does not exist, is answered with compressed bytes.
    is_compressing: bool,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into(), compressed: Arc::default(), is_compressing: false }
    }

    /// The same folder with a compressed version of every file that becomes smaller by compression.
    pub(super) fn compressing(&self) -> Self {
        Self { is_compressing: true, ..self.clone() }
    }

    /// Resolves a path, including its links.
    async fn find(&self, path: PathBuf) -> io::Result<(PathBuf, FoundFile)> {
        let root = Arc::clone(&self.root);
        blocking(move || find(&root, &path)).await
    }

    /// The compressed bytes of a file that is requested with `.gz` appended.
    async fn compress(&self, path: &Path) -> io::Result<(Bytes, FoundFile)> {
        let original = Some(path)
            .filter(|_| self.is_compressing)
            .and_then(|path| path.to_str()?.strip_suffix(".gz"))
            .map(Path::new)
            .filter(|original| can_be_compressed(original))
            .ok_or(io::ErrorKind::NotFound)?;
        let (file, found) = self.find(original.into()).await?;
        let modified = found.modified.filter(|_| !found.is_dir).ok_or(io::ErrorKind::NotFound)?;
        let version = Version { file, modified, length: found.length };
        let bytes = self.compressed.bytes(original, version).await.ok_or(io::ErrorKind::NotFound)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok((bytes, FoundFile { length, ..found }))
    }
}

/// Returns whether files of this kind become smaller by compression.
pub(super) fn can_be_compressed(path: &Path) -> bool {
    // A directory is served as its `index.html`.
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("html");
    COMPRESSIBLE.iter().any(|kind| extension.eq_ignore_ascii_case(kind))
}

const COMPRESSIBLE: [&str; 18] = [
    "html",
    "htm",
    "js",
    "mjs",
    "cjs",
    "css",
    "map",
    "json",
    "wasm",
    "svg",
    "xml",
    "txt",
    "md",
    "csv",
    "webmanifest",
    "ttf",
    "otf",
    "ico",
];

fn find(root: &Path, path: &Path) -> io::Result<(PathBuf, FoundFile)> {
    // Every problem with a path means that the file is not found.
    let nothing = |_| io::Error::from(io::ErrorKind::NotFound);
    // Resolved each time: the directory may be a link that a deployment changes.
    let root = fs::canonicalize(root).map_err(nothing)?;
    let file = fs::canonicalize(path).map_err(nothing)?;
    let metadata = fs::metadata(&file).map_err(nothing)?;
    // Reading a pipe or a device could block for ever.
    if !file.starts_with(&root) || !(metadata.is_file() || metadata.is_dir()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let found =
        FoundFile { is_dir: metadata.is_dir(), length: metadata.len(), modified: metadata.modified().ok() };
    Ok((file, found))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Backend for Folder {
    type File = Opened;
    type Metadata = FoundFile;
    type OpenFuture = BoxFuture<'static, io::Result<Opened>>;
    type MetadataFuture = BoxFuture<'static, io::Result<FoundFile>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let folder = self.clone();
        let opening = async move {
            let (root, on_disk) = (Arc::clone(&folder.root), path.clone());
            let opened = blocking(move || {
                let (file, found) = find(&root, &on_disk)?;
                if found.is_dir {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Ok((fs::File::open(file)?, found))
            });
            match opened.await {
                Ok((file, found)) => Ok(Opened { content: Content::Disk(file.into()), found }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (bytes, found) = folder.compress(&path).await?;
                    Ok(Opened { content: Content::Memory(Cursor::new(bytes)), found })
                }
                Err(error) => Err(error),
            }
        };
        opening.boxed()
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let folder = self.clone();
        let finding = async move {
            match folder.find(path.clone()).await {
                Ok((_, found)) => Ok(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    folder.compress(&path).await.map(|(_, found)| found)
                }
                Err(error) => Err(error),
            }
        };
        finding.boxed()
    }
}

/// The properties of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundFile {
    is_dir: bool,
    length: u64,
    modified: Option<SystemTime>,
}

impl Metadata for FoundFile {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.modified.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.length
    }
}

/// An open file.
pub(super) struct Opened {
    content: Content,
    found: FoundFile,
}

enum Content {
    Disk(tokio::fs::File),
    Memory(Cursor<Bytes>),
}

impl File for Opened {
    type Metadata = FoundFile;
    type MetadataFuture<'a> = Ready<io::Result<FoundFile>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.found))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().content {
            Content::Disk(file) => Pin::new(file).poll_read(cx, buffer),
            Content::Memory(bytes) => Pin::new(bytes).poll_read(cx, buffer),
        }
    }
}

impl AsyncSeek for Opened {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        match &mut self.get_mut().content {
            Content::Disk(file) => Pin::new(file).start_seek(position),
            Content::Memory(bytes) => Pin::new(bytes).start_seek(position),
        }
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match &mut self.get_mut().content {
            Content::Disk(file) => Pin::new(file).poll_complete(cx),
            Content::Memory(bytes) => Pin::new(bytes).poll_complete(cx),
        }
    }
}

#[cfg(test)]
impl Folder {
    pub(super) async fn compressed(&self, path: &Path, version: Version) -> Option<Bytes> {
        self.compressed.bytes(path, version).await
    }
}
