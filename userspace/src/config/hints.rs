//! What people write who know other load balancers, and what it is called here: so that the answer to a word is the
//! right word. From the OTC Elastic Load Balance user guide (sections 2.3, 3.3 to 3.8, 4.3, 5.1, 6.3), Octavia's API, and
//! plain slips of the pen.

/// Keys that are called otherwise here: the first of these that the table has.
const KEYS: &[(&str, &[&str])] = &[
    // Load balancers.
    ("virtual_ip", &["vip"]),
    ("vip_address", &["vip"]),
    ("eip", &["vip"]),
    ("bandwidth", &["bandwidth_mbit"]),
    ("access_logging", &["access_log"]),
    // Listeners.
    ("frontend_protocol", &["protocol"]),
    ("frontend_port", &["port"]),
    ("whitelist", &["allow"]),
    ("allowed_cidrs", &["allow"]),
    ("access_control", &["allow"]),
    ("blacklist", &["deny"]),
    ("backend_server_group", &["pool"]),
    ("default_pool", &["pool"]),
    ("forwarding_policy", &["policy"]),
    ("l7policy", &["policy"]),
    ("server_certificate", &["certificates"]),
    ("sni", &["certificates"]),
    ("sni_certificate", &["certificates"]),
    ("ca_certificate", &["client_ca", "ca"]),
    ("mutual_authentication", &["client_ca"]),
    ("security_policy", &["tls_policy"]),
    ("connection_limit", &["max_connections"]),
    ("insert_headers", &["forwarded"]),
    // Policies.
    ("url", &["path"]),
    ("domain_name", &["domain", "host"]),
    // Pools.
    ("backend_protocol", &["protocol"]),
    ("load_balancing_algorithm", &["algorithm"]),
    ("lb_algorithm", &["algorithm"]),
    ("sticky_session", &["sticky"]),
    ("session_persistence", &["sticky"]),
    ("sticky_session_type", &["by"]),
    ("stickiness_duration", &["minutes"]),
    ("cookie_name", &["cookie"]),
    ("health_check", &["health"]),
    ("healthmonitor", &["health"]),
    // Members.
    ("backend_server", &["member"]),
    ("server", &["member"]),
    ("ip", &["address", "vip"]),
    ("ip_address", &["address", "vip"]),
    ("private_ip_address", &["address"]),
    ("backend_port", &["port"]),
    ("protocol_port", &["port"]),
    ("admin_state_up", &["enabled"]),
    // Health checks.
    ("type", &["protocol", "by"]),
    ("delay", &["interval"]),
    ("check_path", &["path"]),
    ("url_path", &["path"]),
    ("check_port", &["port"]),
    ("max_retries", &["retries"]),
    ("maximum_retries", &["retries"]),
    ("expected_codes", &["codes"]),
    // Certificates.
    ("certificate_content", &["certificate"]),
    ("private_key", &["key"]),
];

/// Words that are called otherwise here, in lower case and with hyphens: the first of these that would be right.
const WORDS: &[(&str, &[&str])] = &[
    ("terminated-https", &["https"]),
    ("round-robin", &["weighted-round-robin"]),
    ("least-connections", &["weighted-least-connections"]),
    ("source-ip", &["source-hash"]),
    ("source-ip-hash", &["source-hash"]),
    ("source-ip-address", &["source-ip"]),
    ("load-balancer-cookie", &["balancer-cookie"]),
    ("http-cookie", &["balancer-cookie"]),
    ("app-cookie", &["application-cookie"]),
    ("udp-connect", &["udp"]),
    ("ping", &["udp"]),
];

/// Which of a table's keys somebody meant who wrote `key`.
pub(super) fn key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = key.to_lowercase().replace('-', "_");
    let named = KEYS.iter().find(|(other, _)| *other == plain).map_or(&[][..], |(_, here)| here);
    let written = |wanted: &str| known.iter().copied().find(|key| *key == wanted);
    written(&plain)
        .or_else(|| named.iter().find_map(|wanted| written(wanted)))
        .or_else(|| slip(&plain, known))
}

/// The key that one slip of the pen in every three letters makes of `key`.
fn slip(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |other: &&'static str| strsim::osa_distance(key, other);
    known.iter().copied().filter(|other| distance(other) * 3 <= key.chars().count()).min_by_key(distance)
}

/// Which of these words somebody meant who wrote `word`.
pub(super) fn word<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = word.to_lowercase().replace(['_', ' '], "-");
    let named = WORDS.iter().find(|(other, _)| *other == plain).map_or(&[][..], |(_, here)| here);
    let written = |wanted: &str| known.clone().find(|word| *word == wanted);
    written(&plain).or_else(|| named.iter().find_map(|wanted| written(wanted)))
}
