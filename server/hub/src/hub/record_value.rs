//! The values of stored records: a version, then numbers and texts in a fixed order.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Writes a value.
pub(crate) struct ValueWriter(BytesMut);

/// Reads a value. Every method returns `None` if the value ends too early.
pub(crate) struct ValueReader(Bytes);

impl ValueWriter {
    pub(crate) fn new(version: u8) -> Self {
        Self(BytesMut::from(&[version][..]))
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.put_u8(byte);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.put_u64(number);
    }

    /// Bytes with their length before them.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.put_slice(bytes);
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

impl ValueReader {
    /// `None` if the value has another version.
    pub(crate) fn new(value: &Bytes, version: u8) -> Option<Self> {
        let mut reader = Self(value.clone());
        (reader.byte()? == version).then_some(reader)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.into()).ok()
    }

    /// `true` if nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written_and_a_shorter_one_is_refused() {
        let mut writer = ValueWriter::new(1);
        writer.byte(2);
        writer.number(3);
        writer.bytes(b"four");
        let value = writer.finish();
        let read = |value: &Bytes| {
            let mut reader = ValueReader::new(value, 1)?;
            let read = (reader.byte()?, reader.number()?, reader.text()?);
            reader.is_at_end().then_some(read)
        };
        assert_eq!(read(&value), Some((2, 3, "four".into())));
        for length in 0..value.len() {
            assert_eq!(read(&value.slice(..length)), None, "{length}");
        }
        assert!(ValueReader::new(&value, 2).is_none(), "another version");
        let mut too_long = vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        too_long.extend([0xff; 8]);
        assert_eq!(read(&too_long.into()), None);
    }
}
