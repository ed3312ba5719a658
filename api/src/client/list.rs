//! Collections, page by page.

use super::{Client, ClientError, Twice, decode, unexpected};
use crate::{ResourceList, ResourceView, Urn};

/// Which part of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page<'a> {
    /// A selector of labels.
    pub labels: Option<&'a str>,
    /// Most items, 1..10000; 1000 when absent.
    pub limit: Option<u32>,
    /// `metadata.skipToken` of the page before.
    pub skip_token: Option<&'a str>,
    /// What to do with those that were deleted.
    pub deleted: Deleted,
}

/// Whether resources that were deleted are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deleted {
    /// As the server does by itself: those that are on their way out are there, those that are gone are not.
    #[default]
    Plain,
    /// Deleted ones, too.
    Include,
    /// Only those.
    Only,
}

impl Client {
    /// The first page of the collection `urn` is in, whatever its name.
    pub async fn list(&self, urn: &Urn) -> Result<ResourceList, ClientError> {
        self.list_page(urn, Page::default()).await
    }

    /// A page of the collection `urn` is in.
    pub async fn list_page(&self, urn: &Urn, page: Page<'_>) -> Result<ResourceList, ClientError> {
        let url = self.url(urn);
        let collection = url.rsplit_once('/').map_or(url.as_str(), |(collection, _)| collection);
        let limit = page.limit.map(|limit| limit.to_string());
        let mut request = self.request(reqwest::Method::GET, collection);
        for (name, value) in
            [("labels", page.labels), ("limit", limit.as_deref()), ("skipToken", page.skip_token)]
        {
            if let Some(value) = value {
                request = request.query(&[(name, value)]);
            }
        }
        request = request.header(
            "accept",
            match page.deleted {
                Deleted::Plain => "application/json",
                Deleted::Include => "application/json; deleted=true",
                Deleted::Only => "application/json; deleted=only",
            },
        );
        let (status, body) = self.attempt(request, collection, Twice::Same).await?;
        decode(status, collection, body)
    }

    /// The whole collection `urn` is in, page by page; of those only that match `labels`, if it is given.
    pub async fn list_all(&self, urn: &Urn, labels: Option<&str>) -> Result<Vec<ResourceView>, ClientError> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = Page { labels, limit: Some(1000), skip_token: after.as_deref(), ..Page::default() };
            let page = self.list_page(urn, page).await?;
            items.extend(page.items);
            match page.metadata.skip_token {
                None => return Ok(items),
                Some(next) if after.as_ref() == Some(&next) => {
                    return Err(unexpected(200, &self.url(urn), "a page that names itself as the next"));
                }
                Some(next) => after = Some(next),
            }
        }
    }
}
