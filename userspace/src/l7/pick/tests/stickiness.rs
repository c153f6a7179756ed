//! Clients with a cookie, ours or the application's.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use http::{HeaderValue, header};
use model::sticky::{SameSite, StickyBy};
use proptest::prelude::*;

use super::*;

const MINUTES: u16 = 20;
const TIME: u64 = 60 * MINUTES as u64;

fn sticky(mut pool: Pool, by: StickyBy, drain: bool) -> Pool {
    http(&mut pool).sticky = Some(Sticky { by, time: CookieMinutes::literal(MINUTES), drain });
    pool
}

fn ours(pool: Pool, drain: bool) -> Pool {
    sticky(
        pool,
        StickyBy::BalancerCookie { name: Some(Token::new("lb").unwrap()), same_site: SameSite::Lax },
        drain,
    )
}

fn application(pool: Pool, remembered: u32, drain: bool) -> Pool {
    let (name, remembered) = (Token::new("session").unwrap(), Remembered::literal(remembered));
    sticky(pool, StickyBy::ApplicationCookie { name, remembered }, drain)
}

fn cookie(text: &str) -> HeaderMap {
    [(header::COOKIE, HeaderValue::from_str(text).unwrap())].into_iter().collect()
}

/// The pair that a browser sends back, `name=value`.
fn pair(picked: &Picked) -> String {
    let text = picked.set_cookie.as_ref().expect("a cookie").to_str().unwrap();
    text.split(';').next().unwrap().to_owned()
}

/// A client that comes with this cookie ten times: its member, if that is always the same.
fn only(world: &World, pair: &str) -> Option<u8> {
    let met: BTreeSet<u8> =
        (0..10).filter_map(|_| world.pick_with(&cookie(pair), &[])).map(|p| host(&p)).collect();
    (met.len() == 1).then(|| met.first().copied()).flatten()
}

#[test]
fn our_cookies_attributes() {
    let no_headers = HeaderMap::new();
    for (same_site, is_https, expected) in [
        (SameSite::Lax, false, "; Path=/; Max-Age=1200; HttpOnly; SameSite=Lax"),
        (SameSite::Lax, true, "; Path=/; Max-Age=1200; HttpOnly; SameSite=Lax; Secure"),
        (SameSite::Strict, true, "; Path=/; Max-Age=1200; HttpOnly; SameSite=Strict; Secure"),
        (SameSite::None, true, "; Path=/; Max-Age=1200; HttpOnly; SameSite=None; Secure"),
        (SameSite::None, false, "; Path=/; Max-Age=1200; HttpOnly"),
    ] {
        let by = StickyBy::BalancerCookie { name: Some(Token::new("lb").unwrap()), same_site };
        let world = World::new(&sticky(pool(&[1]), by, false));
        let request = Request { client: client(1), headers: &no_headers, is_https };
        let picked = world.balancer.pick(&request, &[], world.now).unwrap();
        let text = picked.set_cookie.unwrap().to_str().unwrap().to_owned();
        let (pair, attributes) = text.split_at(text.find(';').unwrap());
        assert_eq!(attributes, expected);
        let value = pair.strip_prefix("lb=").unwrap();
        assert_eq!(value.len(), 38);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{value}");
    }
}

#[test]
fn a_client_with_our_cookie_stays() {
    let world = World::new(&ours(pool(&[1, 1, 1, 1]), false));
    for _ in 0..8 {
        let picked = world.pick_with(&HeaderMap::new(), &[]).unwrap();
        let pair = pair(&picked);
        assert_eq!(only(&world, &pair), Some(host(&picked)));
        let among_others = format!("a=b; {pair}; c=d");
        assert_eq!(only(&world, &among_others), Some(host(&picked)));
        let after_a_bad_one = format!("lb=xyz; {pair}");
        assert_eq!(only(&world, &after_a_bad_one), Some(host(&picked)));
        assert!(world.pick_with(&cookie(&pair), &[]).unwrap().set_cookie.is_none(), "it is new enough");
    }
    // By turns all the while, for those without.
    assert_eq!(world.shares(8), [(1, 2), (2, 2), (3, 2), (4, 2)].into());
}

#[test]
fn it_survives_a_restart_and_holds_on_other_hosts_with_the_secret() {
    let pool = ours(pool(&[1, 1, 1]), false);
    let world = World::new(&pool);
    let picked = world.pick_with(&HeaderMap::new(), &[]).unwrap();
    let elsewhere = World::new(&pool);
    assert_eq!(only(&elsewhere, &pair(&picked)), Some(host(&picked)));
    // Another secret, another pool: no meaning.
    let other = Secret::from_bytes(&[7; 32]).unwrap();
    for balancer in [
        Balancer::new("web", &pool, &other, None, world.now),
        Balancer::new("other", &pool, &secret(), None, world.now),
    ] {
        assert_eq!(only(&World { balancer, now: world.now }, &pair(&picked)), None);
    }
}

#[test]
fn each_pool_has_a_name_of_its_own_unless_it_is_given_one() {
    let pool = sticky(pool(&[1]), StickyBy::BalancerCookie { name: None, same_site: SameSite::Lax }, false);
    let name = |pool_name, secret: &Secret| {
        let now = World::new(&pool).now;
        let balancer = Balancer::new(pool_name, &pool, secret, None, now);
        let picked = World { balancer, now }.pick_with(&HeaderMap::new(), &[]).unwrap();
        pair(&picked).split('=').next().unwrap().to_owned()
    };
    assert_eq!(name("web", &secret()), name("web", &secret()));
    assert_ne!(name("web", &secret()), name("shop", &secret()));
    assert!(name("web", &secret()).starts_with("ek_"));
}

/// Nobody who is idle for less moves, and who is idle for longer may.
#[test]
fn its_time_counts_from_the_last_answer() {
    let mut world = World::new(&ours(pool(&[1, 1, 1]), false));
    let picked = world.pick_with(&HeaderMap::new(), &[]).unwrap();
    let (mut jar, member) = (pair(&picked), host(&picked));
    let at_once = world.pick_with(&cookie(&jar), &[]).unwrap();
    assert!(at_once.set_cookie.is_none(), "it would be the same");
    for idle in [1, TIME / 2 - 1, TIME / 2 + 1, TIME - 1, TIME - 1] {
        world.wait(idle);
        let next = world.pick_with(&cookie(&jar), &[]).unwrap();
        assert_eq!(host(&next), member, "after {idle} s");
        jar = pair(&next);
    }
    world.wait(TIME);
    assert_eq!(only(&world, &jar), None);
}

/// A cookie from before the time was made shorter is replaced.
#[test]
fn a_shorter_time_counts_at_once() {
    let mut pool = ours(pool(&[1]), false);
    let mut world = World::new(&pool);
    let long = pair(&world.pick_with(&HeaderMap::new(), &[]).unwrap());
    http(&mut pool).sticky.as_mut().unwrap().time = CookieMinutes::literal(1);
    world.change(&pool);
    let picked = world.pick_with(&cookie(&long), &[]).unwrap();
    assert!(picked.set_cookie.unwrap().to_str().unwrap().contains("Max-Age=60;"));
}

#[test]
fn a_client_whose_member_is_down_or_tried_gets_another_and_its_cookie() {
    let world = World::new(&checked(ours(pool(&[1, 1]), false)));
    world.judge(1, true);
    let picked = world.pick_with(&HeaderMap::new(), &[]).unwrap();
    let first = pair(&picked);
    world.judge(2, true);
    let second = world.pick_with(&cookie(&first), &[1]).unwrap();
    assert_eq!((host(&second), only(&world, &pair(&second))), (2, Some(2)));
    world.judge(1, false);
    let second = world.pick_with(&cookie(&first), &[]).unwrap();
    assert_eq!((host(&second), only(&world, &pair(&second))), (2, Some(2)));
}

proptest! {
    /// Whatever is changed of it, it is no cookie of ours, and nothing is said about why.
    #[test]
    fn nobody_else_can_make_one(bit in 0..28usize * 8, junk in "[ -:<-~]{0,60}") {
        let world = World::new(&ours(pool(&[1, 1]), false));
        let good = pair(&world.pick_with(&HeaderMap::new(), &[]).unwrap());
        let mut bytes = BASE64.decode(good.strip_prefix("lb=").unwrap()).unwrap();
        prop_assert_eq!(bytes.len(), 28);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let cut = &good[..good.len() - 1 - bit % 37];
        let longer = format!("{good}AAAA");
        for forged in [&format!("lb={}", BASE64.encode(&bytes)), cut, &longer, &format!("lb={junk}")] {
            let picked = world.pick_with(&cookie(forged), &[]).unwrap();
            prop_assert!(picked.set_cookie.is_some(), "{} was taken for one of ours", forged);
        }
    }
}

/// Neither plain nor encoded, in any of the usual forms.
#[test]
fn the_value_does_not_show_the_address() {
    let world = World::new(&ours(pool(&[1]), false));
    let picked = world.pick_with(&HeaderMap::new(), &[]).unwrap();
    let pair = pair(&picked);
    let bytes = BASE64.decode(pair.strip_prefix("lb=").unwrap()).unwrap();
    let octets = [192, 0, 2, 1];
    let reversed = [1, 2, 0, 192];
    assert!(!bytes.windows(4).any(|window| window == octets || window == reversed));
    assert!(!pair.contains("192"));
    // The same member of another installation looks different.
    let other = Secret::from_bytes(&[8; 40]).unwrap();
    let balancer = Balancer::new("web", &ours(pool(&[1]), false), &other, None, world.now);
    let other = World { balancer, now: world.now }.pick_with(&HeaderMap::new(), &[]).unwrap();
    assert_ne!(self::pair(&other)[..12], pair[..12]);
}

/// With the setting, clients of a member with weight 0 or that is removed go on until their cookie ends; nobody new comes.
#[test]
fn drain() {
    for drain in [false, true] {
        for removed in [false, true] {
            let mut pool = ours(pool(&[1, 1]), drain);
            let mut world = World::new(&pool);
            let picked = std::iter::repeat_with(|| world.pick_with(&HeaderMap::new(), &[]).unwrap());
            let pair = pair(&picked.into_iter().find(|picked| host(picked) == 1).unwrap());
            if removed {
                pool.members.remove(&address(1));
            } else {
                pool.members.insert(address(1), weighing(0));
            }
            world.change(&pool);
            let what = format!("drain {drain}, removed {removed}");
            assert_eq!(only(&world, &pair), Some(if drain { 1 } else { 2 }), "{what}");
            assert_eq!(world.shares(4), [(2, 4)].into(), "{what}");
            world.wait(TIME - 1);
            world.change(&pool);
            let picked = world.pick_with(&cookie(&pair), &[]).unwrap();
            assert_eq!(host(&picked), if drain { 1 } else { 2 }, "{what}");
            assert_eq!(
                picked.set_cookie.is_none(),
                drain,
                "{what}: a draining member's cookie is not renewed"
            );
            world.wait(1);
            assert_eq!(only(&world, &pair), Some(2), "{what}");
            assert_eq!(world.balancer.view(world.now.instant).kept(address(1)).is_some(), drain && !removed);
        }
    }
}

#[test]
fn a_member_that_comes_back_while_it_drains_is_itself() {
    let mut pool = ours(pool(&[1, 1]), true);
    http(&mut pool).slow_start = Some(Seconds::literal(100));
    let mut world = World::new(&pool);
    pool.members.remove(&address(1));
    world.change(&pool);
    pool.members.insert(address(1), weighing(1));
    world.change(&pool);
    assert_eq!(world.shares(10), [(1, 5), (2, 5)].into(), "no slow start");
}

impl World {
    /// An answer of this member to a new client sets the application's cookie.
    fn answer(&self, host: u8, set_cookie: &str) {
        let mut picked = (0..100).filter_map(|_| self.pick_with(&HeaderMap::new(), &[]));
        self.answer_to(&picked.find(|picked| super::host(picked) == host).unwrap(), set_cookie);
    }

    /// The answer to this request sets it.
    fn answer_to(&self, picked: &Picked, set_cookie: &str) {
        let headers =
            [(header::SET_COOKIE, HeaderValue::from_str(set_cookie).unwrap())].into_iter().collect();
        self.balancer.on_response(picked, &headers, self.now);
    }
}

#[test]
fn the_applications_cookie_is_learnt() {
    let mut world = World::new(&application(pool(&[1, 1, 1]), 100, false));
    assert!(world.pick_with(&HeaderMap::new(), &[]).unwrap().set_cookie.is_none());
    assert_eq!(only(&world, "session=abc"), None, "nobody has set it");
    world.answer(2, "session=abc; Path=/");
    world.answer(3, "session=def; Path=/");
    world.answer(1, "other=abc");
    assert_eq!(only(&world, "session=abc"), Some(2));
    assert_eq!(only(&world, "x=y; session=def"), Some(3));
    assert_eq!(only(&world, "session=ab"), None);
    assert_eq!(only(&world, "other=abc"), None);
    world.answer(1, "session=abc");
    assert_eq!(only(&world, "session=abc"), Some(1), "the last one to set it");
    world.answer(2, "session=abc; Max-Age=0");
    assert_eq!(
        only(&world, "session=abc"),
        Some(1),
        "taking it away from the browser says nothing about others"
    );
    // Its time begins anew with each request.
    world.wait(TIME - 1);
    assert_eq!(only(&world, "session=abc"), Some(1));
    world.wait(TIME - 1);
    assert_eq!(only(&world, "session=abc"), Some(1));
    assert_eq!(only(&world, "session=def"), None);
    world.wait(TIME);
    assert_eq!(only(&world, "session=abc"), None);
}

#[test]
fn what_is_learnt_is_kept_across_a_change_and_is_bounded() {
    let mut pool = application(pool(&[1, 1, 1]), 3, false);
    let mut world = World::new(&pool);
    for value in ["a", "b", "c"] {
        world.answer(2, &format!("session={value}"));
    }
    assert_eq!(only(&world, "session=a"), Some(2));
    world.answer(2, "session=d");
    assert_eq!(only(&world, "session=b"), None, "the least recently used");
    pool.members.remove(&address(3));
    world.change(&pool);
    for value in ["a", "c", "d"] {
        assert_eq!(only(&world, &format!("session={value}")), Some(2));
    }
    pool.members.remove(&address(2));
    pool.members.insert(address(3), weighing(1));
    world.change(&pool);
    assert!(matches!(only(&world, "session=a"), Some(1 | 3)), "it is gone");
}

/// The application may take the value that it is sent for a session of its own, and then sets none.
#[test]
fn a_client_whose_member_cannot_be_used_stays_with_the_next() {
    for tried in [false, true] {
        let mut world = World::new(&checked(application(pool(&[1, 1, 1]), 3, false)));
        (1..=3).for_each(|host| world.judge(host, true));
        for value in ["a", "b", "c"] {
            world.answer(1, &format!("session={value}"));
        }
        world.judge(1, tried);
        let session = cookie("session=made-up; session=a; session=b");
        let next = host(&world.pick_with(&session, if tried { &[1] } else { &[] }).unwrap());
        assert_ne!(next, 1);
        assert_eq!(only(&world, "session=a"), Some(next), "tried: {tried}");
        assert_eq!(only(&world, "session=b"), Some(next), "tried: {tried}");
        world.judge(1, true);
        assert_eq!(only(&world, "session=a"), Some(next), "also when the first one is back");
        assert_eq!(only(&world, "session=c"), Some(1));
        assert_eq!(only(&world, "session=made-up"), None, "nobody has set it");
        world.wait(TIME);
        assert_eq!(only(&world, "session=a"), None, "its time is over");
    }
}

#[test]
fn a_draining_members_clients_end_with_their_cookies_time() {
    let mut pool = application(pool(&[1, 1, 1]), 3, true);
    let mut world = World::new(&pool);
    world.answer(1, "session=a");
    pool.members.insert(address(1), weighing(0));
    world.change(&pool);
    world.wait(TIME - 1);
    assert_eq!(only(&world, "session=a"), Some(1));
    world.wait(1);
    assert_eq!(only(&world, "session=a"), None);
}

#[test]
fn they_do_so_too_if_it_sets_one_with_each_answer() {
    for renewed in ["a", "b"] {
        let mut pool = application(pool(&[1, 1, 1]), 3, true);
        let mut world = World::new(&pool);
        world.answer(1, "session=a");
        pool.members.insert(address(1), weighing(0));
        world.change(&pool);
        world.wait(TIME - 1);
        let picked = world.pick_with(&cookie("session=a"), &[]).unwrap();
        assert_eq!(host(&picked), 1);
        world.answer_to(&picked, &format!("session={renewed}"));
        let session = format!("session={renewed}");
        assert_eq!(only(&world, &session), Some(1));
        world.wait(1);
        assert_eq!(only(&world, &session), None);
    }
}
