//! The token of this page's user.

use gloo_net::Error as FetchError;
use gloo_net::http::Request;
use wirehub_client_wasm::Error;

/// Asks the site for a token: a request to the page's own origin, with its cookies. The client asks again before the
/// token expires, and later if this fails.
///
/// # Errors
/// The site does not answer, or the user has signed out.
pub(crate) async fn fetch() -> Result<String, Error> {
    let answer = Request::get("/token").send().await.map_err(unavailable)?;
    match answer.status() {
        200 => answer.text().await.map_err(unavailable),
        401 => Err(Error::signed_out()),
        // A site without users, such as the demo's server: no token, an anonymous session.
        404 => Ok(String::new()),
        status => Err(Error::token_unavailable(format!("/token answered with the status {status}"))),
    }
}

/// The browser's error stays in this thread; its words do not.
fn unavailable(error: FetchError) -> Error {
    Error::token_unavailable(error.to_string())
}
