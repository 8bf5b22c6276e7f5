//! [`Routes`]: which paths there are and which methods they have. Consulted only on the way to a
//! refusal: for `Allow`, and for the redirect of a path that is right but for its last slash.

use poem::http::Uri;
use poem_openapi::registry::MetaApi;

/// A path that is published with a slash at its end, which `poem-openapi` cannot mount.
#[derive(Clone, Copy, Debug)]
pub struct Slashed {
    /// The path, slash included.
    pub path: &'static str,
    /// Whether the path without the slash is served as well, rather than redirected.
    pub bare_serves: bool,
}

/// The name under which `path` is published.
#[must_use]
pub fn published(path: String, slashed: &[Slashed]) -> String {
    let renamed = slashed.iter().find(|slashed| slashed.bare() == path);
    renamed.map_or(path, |slashed| slashed.path.to_owned())
}

impl Slashed {
    /// The path as `poem-openapi` mounts it.
    #[must_use]
    pub fn bare(&self) -> &'static str {
        self.path.trim_end_matches('/')
    }
}

/// The path templates of this server with their methods.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    template: String,
    /// The template as the router knows it, its parameters numbered.
    pattern: String,
    methods: Vec<String>,
}

impl Routes {
    /// The operations of `apis`, under the names they are published by.
    #[must_use]
    pub fn of(apis: &[MetaApi], slashed: &[Slashed]) -> Self {
        let mut routes = Self::default();
        for path in apis.iter().flat_map(|api| &api.paths) {
            let template = published(path.path.clone(), slashed);
            for operation in &path.operations {
                routes.add(&template, operation.method.as_str());
            }
        }
        routes
    }

    /// Whether there is the path `template`.
    #[must_use]
    pub fn contains(&self, template: &str) -> bool {
        self.0.iter().any(|route| route.template == template)
    }

    /// Adds the path `template` (`/users/{id}`) with `method` (`GET`).
    pub fn add(&mut self, template: &str, method: &str) {
        let method = method.to_owned();
        match self.0.iter_mut().find(|route| route.template == template) {
            Some(route) if route.methods.contains(&method) => {}
            Some(route) => route.methods.push(method),
            None => self.0.push(Route {
                template: template.to_owned(),
                pattern: pattern(template),
                methods: vec![method],
            }),
        }
    }

    /// Gives `alias` the methods of `template`.
    pub fn alias(&mut self, template: &str, alias: &str) {
        let methods = self.find(template).map(|route| route.methods.clone()).unwrap_or_default();
        for method in &methods {
            self.add(alias, method);
        }
    }

    /// Each template with its methods.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|route| (route.template.as_str(), route.methods.as_slice()))
    }

    /// The template of the route that the router calls `pattern`.
    #[must_use]
    pub fn label<'a>(&'a self, pattern: &'a str) -> &'a str {
        let route = self.0.iter().find(|route| route.pattern == pattern);
        route.map_or(pattern, |route| &route.template)
    }

    /// The value of `Allow` for `path`: its methods, and HEAD wherever GET is.
    #[must_use]
    pub fn allow(&self, path: &str) -> Option<String> {
        let mut methods: Vec<&str> = self.find(path)?.methods.iter().map(String::as_str).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        Some(methods.join(", "))
    }

    /// Where `uri` would have been found with its last slash added or taken away; the query stays.
    #[must_use]
    pub fn slash_redirect(&self, uri: &Uri) -> Option<String> {
        // The target of CONNECT has no path at all (RFC 9110 §7.1).
        let path = Some(uri.path()).filter(|path| path.starts_with('/'))?;
        let mut toggled = match path.strip_suffix('/') {
            Some(shorter) => shorter.to_owned(),
            None => format!("{path}/"),
        };
        self.find(&toggled)?;
        if let Some(query) = uri.query() {
            toggled.push('?');
            toggled.push_str(query);
        }
        Some(toggled)
    }

    /// The route of `path`; a literal one goes before one with parameters, as in the router.
    fn find(&self, path: &str) -> Option<&Route> {
        let candidates = self.0.iter().filter(|route| matches(&route.template, path));
        candidates.min_by_key(|route| route.template.matches('{').count())
    }
}

/// `poem-openapi` mounts `/users/{id}` as `/users/:param0`.
fn pattern(template: &str) -> String {
    let mut parameters = 0..;
    let segments = template.split('/').map(|segment| {
        if segment.starts_with('{') {
            format!(":param{}", parameters.next().unwrap_or_default())
        } else {
            segment.to_owned()
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether `path` is an instance of `template`; a parameter is one segment, not empty.
fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    template.split('/').all(|wanted| {
        segments.next().is_some_and(|segment| {
            if wanted.starts_with('{') { !segment.is_empty() } else { segment == wanted }
        })
    }) && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::default();
        for (template, method) in [
            ("/", "GET"),
            ("/users/{id}", "DELETE"),
            ("/users/me", "GET"),
            ("/users/me", "PATCH"),
            ("/items/", "GET"),
            ("/users/me", "GET"),
        ] {
            routes.add(template, method);
        }
        routes
    }

    #[test]
    fn allow_lists_the_methods_of_the_most_literal_path() {
        assert_eq!(routes().allow("/users/me").as_deref(), Some("GET, HEAD, PATCH"));
        assert_eq!(routes().allow("/users/01").as_deref(), Some("DELETE"));
        assert_eq!(routes().allow("/nowhere"), None);
        assert_eq!(routes().allow("/users/"), None);
    }

    #[test]
    fn a_route_is_labelled_by_its_template() {
        assert_eq!(routes().label("/users/:param0"), "/users/{id}");
        assert_eq!(routes().label("/users/me"), "/users/me");
        assert_eq!(routes().label("/unlisted"), "/unlisted");
    }

    #[test]
    fn a_path_is_redirected_only_to_one_that_exists() {
        let redirect = |uri: &str| routes().slash_redirect(&uri.parse().unwrap());
        assert_eq!(redirect("/items?a=%2F&b").as_deref(), Some("/items/?a=%2F&b"));
        assert_eq!(redirect("/users/me/").as_deref(), Some("/users/me"));
        assert_eq!(redirect("/nowhere/"), None);
        assert_eq!(redirect("//evil.example/"), None);
        assert_eq!(redirect("/"), None);
        assert_eq!(redirect("a:1"), None);
    }
}
