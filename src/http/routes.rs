//! [`Routes`]: which paths there are and which methods they have. Consulted only on the way to a
//! refusal: for `Allow`, and for the redirect of a path that is right but for its last slash.

use poem::http::Uri;

/// The path templates of this server with their methods.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

#[derive(Clone, Debug)]
struct Route {
    template: String,
    methods: Vec<String>,
}

impl Routes {
    /// Adds the path `template` (`/users/{id}`) with `method` (`GET`).
    pub fn add(&mut self, template: &str, method: &str) {
        let known = self.0.iter().position(|route| route.template == template);
        let methods = match known.and_then(|position| self.0.get_mut(position)) {
            Some(route) => &mut route.methods,
            None => {
                self.0.push(Route { template: template.to_owned(), methods: Vec::new() });
                let Some(route) = self.0.last_mut() else { return };
                &mut route.methods
            }
        };
        if !methods.iter().any(|known| known == method) {
            methods.push(method.to_owned());
        }
    }

    /// Each template with its methods.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|route| (route.template.as_str(), route.methods.as_slice()))
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
        let path = uri.path();
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
    fn a_path_is_redirected_only_to_one_that_exists() {
        let redirect = |uri: &str| routes().slash_redirect(&uri.parse().unwrap());
        assert_eq!(redirect("/items?a=%2F&b").as_deref(), Some("/items/?a=%2F&b"));
        assert_eq!(redirect("/users/me/").as_deref(), Some("/users/me"));
        assert_eq!(redirect("/nowhere/"), None);
        assert_eq!(redirect("//evil.example/"), None);
        assert_eq!(redirect("/"), None);
    }
}
