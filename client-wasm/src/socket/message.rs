//! The contents of a WebSocket message.

use bytes::Bytes;
use wirehub_common::contract;
use wirehub_common::{Content, Payload};

use super::SocketError;

/// A message of the browser's WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl Message {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// The type of messages of a [`Socket`](super::Socket): [`Message`] itself, and every message type of a contract.
pub trait Frame: Sized {
    /// Reads a message.
    ///
    /// # Errors
    /// [`SocketErrorKind::Payload`](super::SocketErrorKind::Payload).
    fn from_message(message: Message) -> Result<Self, SocketError>;

    /// Writes a message.
    ///
    /// # Errors
    /// [`SocketErrorKind::Payload`](super::SocketErrorKind::Payload).
    fn into_message(self) -> Result<Message, SocketError>;
}

impl Frame for Message {
    fn from_message(message: Message) -> Result<Self, SocketError> {
        Ok(message)
    }

    fn into_message(self) -> Result<Message, SocketError> {
        Ok(self)
    }
}

impl<T: contract::Message> Frame for T {
    fn from_message(message: Message) -> Result<Self, SocketError> {
        let payload = match message {
            Message::Text(text) => Payload::json(text),
            Message::Binary(data) if T::CONTENT == Content::Json => Payload::bytes(data),
            Message::Binary(data) => Payload { content: T::CONTENT, data },
        };
        Ok(T::from_payload(&payload)?)
    }

    fn into_message(self) -> Result<Message, SocketError> {
        let Payload { content, data } = self.to_payload()?;
        Ok(match content {
            // An implementation of a contract's type may declare JSON and write something else, which is then sent as
            // it is.
            Content::Json => match String::from_utf8(data.into()) {
                Ok(text) => Message::Text(text),
                Err(error) => Message::Binary(error.into_bytes().into()),
            },
            Content::Bytes | Content::Custom | Content::Attachment => Message::Binary(data),
        })
    }
}

#[cfg(test)]
mod tests {
    use wirehub_common::contract::{Attachment, Binary};
    use wirehub_demo_contract::ChatMessage;

    use super::super::SocketErrorKind;
    use super::*;

    #[test]
    fn json_is_text_and_bytes_are_binary() {
        let said = ChatMessage { nick: "ann".into(), text: "hi \u{1f980}".into() };
        let message = said.clone().into_message().unwrap();
        assert!(matches!(&message, Message::Text(text) if text.starts_with('{')), "{message:?}");
        assert_eq!(ChatMessage::from_message(message).unwrap(), said);

        let bytes = Binary(Bytes::from_static(b"\0\xff"));
        let message = bytes.clone().into_message().unwrap();
        assert_eq!(message, Message::Binary(bytes.0.clone()));
        assert_eq!(Binary::from_message(message).unwrap(), bytes);

        let image = Attachment::new(said, vec![0, 255]);
        assert_eq!(Attachment::from_message(image.clone().into_message().unwrap()).unwrap(), image);
    }

    #[test]
    fn a_payload_that_does_not_fit_is_an_error() {
        for message in [Message::from("{}"), Message::from(""), Message::Binary(Bytes::from_static(b"{}"))] {
            let error = ChatMessage::from_message(message).unwrap_err();
            assert_eq!(error.kind(), SocketErrorKind::Payload);
        }
        assert!(Binary::from_message(Message::from("text")).is_err());
    }
}
