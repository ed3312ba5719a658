//! Bytes of any number, sent as they are read.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Client, ClientError, Twice};
use crate::Urn;

/// Read at once, in bytes.
const PIECE: usize = 256 << 10;

/// No upload takes longer; until then only a broken connection ends one.
const TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

impl Client {
    /// PUTs `length` bytes from `reader` to `path` below a resource, and tells `sent` of each piece that was read for
    /// sending. Never repeated by itself: the reader is used up.
    ///
    /// # Errors
    /// As any call; also when the reader fails or has another number of bytes.
    pub async fn upload(
        &self,
        urn: &Urn,
        path: &str,
        query: &[(&str, &str)],
        (reader, length): (impl AsyncRead + Send + Unpin + 'static, u64),
        sent: impl Fn(usize) + Send + 'static,
    ) -> Result<(u16, Option<Value>), ClientError> {
        let url = format!("{}/{path}", self.url(urn));
        let pieces = futures_util::stream::try_unfold((reader, sent), |(mut reader, sent)| async move {
            let mut piece = vec![0; PIECE];
            let count = reader.read(&mut piece).await?;
            if count == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            piece.truncate(count);
            sent(count);
            Ok(Some((piece, (reader, sent))))
        });
        let request = self
            .request(reqwest::Method::PUT, &url)
            .query(query)
            .timeout(TIMEOUT)
            .header("content-type", "application/octet-stream")
            .header("content-length", length)
            .body(reqwest::Body::wrap_stream(pieces));
        self.attempt(request, &url, Twice::Harmful).await
    }
}
