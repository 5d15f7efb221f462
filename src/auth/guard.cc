#include "auth/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "auth/api_key.h"
#include "auth/rate_limiter.h"
#include "auth/scopes.h"
#include "base/clock.h"
#include "base/text.h"

namespace nidus::auth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLookInterval = std::chrono::seconds(1);
// The use of a key is noted no more often than this.
constexpr std::int64_t kUseNotedUs = 60'000'000;
// What a key or token that is not good costs its address: guessing is slow, a typing error is not.
constexpr double kBadCost = 50;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

struct HeldKey {
  store::ApiKey key;
  mutable std::atomic<std::int64_t> noted_us{0};
};
using Keys = std::unordered_map<std::string, std::shared_ptr<const HeldKey>, TextHash, std::equal_to<>>;

bool is_ipv4(const std::array<std::uint8_t, 16>& address) {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

bool is_loopback(const std::array<std::uint8_t, 16>& address) {
  if (is_ipv4(address)) return address[12] == 127;
  return std::all_of(address.begin(), address.end() - 1, [](auto byte) { return byte == 0; }) &&
         address[15] == 1;
}

// "localhost:8080", "127.0.0.1", a name without a dot: what no stranger can own in the public name system. A
// page of elsewhere whose name was made to mean this machine has its own name there (DNS rebinding).
bool is_no_strangers_name(std::string_view host) {
  if (host.starts_with('[')) return host.starts_with("[::1]");
  host = host.substr(0, host.find(':'));
  if (host.find('.') == std::string_view::npos) return !host.empty();
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

struct Guard::Impl {
  GuardOptions options;
  store::Store* store = nullptr;
  RateLimiter callers, addresses;
  std::atomic<std::shared_ptr<const Keys>> keys{std::make_shared<const Keys>()};
  std::atomic<std::shared_ptr<const JwtVerifier>> tokens{nullptr};
  std::atomic<std::uint64_t> allowed{0}, anonymous{0}, unauthenticated{0}, forbidden{0}, limited{0};

  std::mutex mutex;  // guards stop, and is held while keys are read
  std::condition_variable wake;
  bool stop = false;
  std::int64_t version = -1;
  std::thread thread;
  std::unique_ptr<KeyFeed> feed;  // last: its thread is gone before what it writes to

  Impl(const GuardOptions& given, store::Store* from)
      : options(given),
        store(from),
        callers({given.per_second, given.burst}),
        addresses({given.address_per_second, given.address_burst}) {}

  Result<void> load();
  Result<void> read_keys();
  Result<void> take_token_keys(std::string_view text);
  void watch();
  bool required() const;
  std::optional<http::Response> check(http::Request& request, const http::Route& route);
  std::optional<http::Caller> caller_of(std::string_view credentials);
  std::optional<http::Response> limit(RateLimiter& limiter, std::span<const std::uint8_t> who, double cost,
                                      const http::Request& request);
  http::Response refuse_stranger(const http::Request& request, std::string_view why, bool showed_something);
};

Result<void> Guard::Impl::read_keys() {
  if (store == nullptr) return {};
  const auto now = store->version();
  if (now && *now == version) return {};
  auto all = store->keys();
  if (!all) return std::move(all).error();
  const auto before = keys.load();
  auto fresh = std::make_shared<Keys>();
  for (auto& key : *all) {
    auto known = std::make_shared<HeldKey>();
    const std::string id = key.id;
    if (const auto old = before->find(id); old != before->end())
      known->noted_us = old->second->noted_us.load();
    known->key = std::move(key);
    fresh->emplace(id, std::move(known));
  }
  keys.store(std::move(fresh));
  version = now ? *now : -1;
  return {};
}

Result<void> Guard::Impl::take_token_keys(std::string_view text) {
  auto verifier = JwtVerifier::parse(text, *options.tokens);
  if (!verifier) return std::move(verifier).error();
  tokens.store(std::make_shared<const JwtVerifier>(std::move(*verifier)));
  return {};
}

Result<void> Guard::Impl::load() {
  if (options.tokens && !feed) {
    auto verifier = JwtVerifier::open(*options.tokens);
    if (!verifier) return std::move(verifier).error();
    tokens.store(std::make_shared<const JwtVerifier>(std::move(*verifier)));
  }
  const std::lock_guard lock(mutex);
  return read_keys();
}

void Guard::Impl::watch() {
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, kLookInterval, [this] { return stop; })) {
    (void)read_keys();  // the store says in its own state what is wrong with it
  }
}

bool Guard::Impl::required() const {
  switch (options.required) {
    case Requirement::always:
      return true;
    case Requirement::never:
      return false;
    case Requirement::automatic:
      break;
  }
  return options.tokens || options.client_certificates || !keys.load()->empty();
}

// Whose key or token it is; nothing if it is not good.
std::optional<http::Caller> Guard::Impl::caller_of(std::string_view credentials) {
  const auto now = now_us();
  if (const auto text = parse_api_key(credentials)) {
    const auto snapshot = keys.load();
    const auto found = snapshot->find(text->id);
    if (found == snapshot->end()) return std::nullopt;
    const HeldKey& known = *found->second;
    if (!is_secret_of(known.key, text->secret) || !is_live(known.key, now)) return std::nullopt;
    auto noted = known.noted_us.load();
    if (now - noted > kUseNotedUs && known.noted_us.compare_exchange_strong(noted, now)) {
      store->write({store::UseKey{known.key.id, now}}, [](const Result<store::Store::Numbers>&) {});
    }
    return http::Caller{fmt::format("key:{}", known.key.id), known.key.scopes};
  }
  const auto verifier = tokens.load();
  if (!verifier) return std::nullopt;
  const auto claims = verifier->verify(credentials, now / 1'000'000);
  if (!claims) {
    if (feed && claims.error().code == Errc::not_found) feed->ask();
    return std::nullopt;
  }
  return http::Caller{"token:" + claims->subject.substr(0, 100), claims->scopes};
}

std::optional<http::Response> Guard::Impl::limit(RateLimiter& limiter, std::span<const std::uint8_t> who,
                                                 double cost, const http::Request& request) {
  const auto answer = limiter.take(who, cost, Clock::now());
  if (answer.is_allowed) return std::nullopt;
  ++limited;
  const auto seconds = static_cast<std::int64_t>(std::ceil(std::max(answer.seconds_left, 1.0)));
  auto response =
      http::problem(429, "Too many requests: wait for as many seconds as Retry-After says", request.id);
  // draft-ietf-httpapi-ratelimit-headers
  const auto& limits = limiter.options();
  const auto whole = [](double value) { return static_cast<std::int64_t>(value); };
  response.headers.emplace_back("Retry-After", fmt::format("{}", seconds));
  response.headers.emplace_back(
      "RateLimit-Policy", fmt::format("\"default\";q={};w={}", whole(limits.burst),
                                      std::max<std::int64_t>(whole(limits.burst / limits.per_second), 1)));
  response.headers.emplace_back("RateLimit",
                                fmt::format("\"default\";r={};t={}", whole(answer.left), seconds));
  return response;
}

http::Response Guard::Impl::refuse_stranger(const http::Request& request, std::string_view why,
                                            bool showed_something) {
  ++unauthenticated;
  auto response = http::problem(401, why, request.id);
  response.headers.emplace_back("WWW-Authenticate", showed_something
                                                        ? "Bearer realm=\"nidus\", error=\"invalid_token\""
                                                        : "Bearer realm=\"nidus\"");
  return response;
}

std::optional<http::Response> Guard::Impl::check(http::Request& request, const http::Route& route) {
  const double cost =
      route.cost + (request.content_length ? static_cast<double>(*request.content_length) / 1024 : 0);
  // Whoever has one IPv6 address has 2^64 of them.
  const auto& address = request.peer.address;
  const auto prefix = is_ipv4(address) ? std::span<const std::uint8_t>(address)
                                       : std::span<const std::uint8_t>(address).first(8);
  const bool needed = required();
  const std::string_view authorization = request.header("Authorization");
  if (!authorization.empty() && (needed || !keys.load()->empty())) {
    std::string_view credentials = authorization;
    constexpr std::string_view kScheme = "bearer ";
    const bool is_bearer = credentials.size() > kScheme.size() &&
                           equal_ignoring_case(credentials.substr(0, kScheme.size()), kScheme);
    std::optional<http::Caller> caller;
    if (is_bearer) caller = caller_of(trim(credentials.substr(kScheme.size())));
    if (!caller) {
      if (auto refusal = limit(addresses, prefix, kBadCost, request)) return refusal;
      return refuse_stranger(request, "The key or token is not good", true);
    }
    request.caller = std::move(*caller);
  } else if (options.client_certificates && !request.peer.certificate.empty()) {
    request.caller = {"certificate:" + request.peer.certificate, options.certificate_scopes};
  } else if (!needed) {
    request.caller.scopes = kAllScopes & ~kAdmin;
    if (options.required == Requirement::never ||
        (is_loopback(address) && is_no_strangers_name(request.header("Host")) &&
         request.header("Origin").empty())) {
      request.caller.scopes |= kAdmin;
    }
  }

  if (request.caller.name.empty()) {
    if (auto refusal = limit(addresses, prefix, cost, request)) return refusal;
  } else {
    const auto* name = reinterpret_cast<const std::uint8_t*>(request.caller.name.data());
    if (auto refusal = limit(callers, {name, request.caller.name.size()}, cost, request)) return refusal;
  }
  const auto missing = route.scopes & ~request.caller.scopes;
  if (missing == 0) {
    ++(request.caller.name.empty() ? anonymous : allowed);
    return std::nullopt;
  }
  if (request.caller.name.empty() && needed) {
    return refuse_stranger(request, "This needs a key or token: Authorization: Bearer …", false);
  }
  ++forbidden;
  auto response = http::problem(
      403,
      request.caller.name.empty()
          ? std::string(
                "Without keys this can be done from this machine only: make one with `nidus keys create`")
          : fmt::format("This needs the scope {}", scopes_text(missing)),
      request.id);
  response.headers.emplace_back(
      "WWW-Authenticate", fmt::format("Bearer realm=\"nidus\", error=\"insufficient_scope\", scope=\"{}\"",
                                      scopes_text(route.scopes)));
  return response;
}

Guard::Guard(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Guard::~Guard() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_one();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Result<std::unique_ptr<Guard>> Guard::start(const GuardOptions& options, store::Store* store) {
  std::unique_ptr<Guard> guard(new Guard(std::make_unique<Impl>(options, store)));
  Impl& impl = *guard->impl_;
  if (impl.options.tokens && impl.options.token_feed) {
    auto feed = KeyFeed::start(
        *impl.options.token_feed, [&impl](std::string_view text) { return impl.take_token_keys(text); },
        [&impl](const Error* error) {
          if (impl.options.token_keys_report) impl.options.token_keys_report(error);
        });
    if (!feed) return std::move(feed).error();
    impl.feed = std::move(*feed);
  }
  if (auto done = impl.load(); !done) return std::move(done).error();
  if (store != nullptr) guard->impl_->thread = std::thread([impl = guard->impl_.get()] { impl->watch(); });
  return guard;
}

Result<void> Guard::reload() {
  auto fetched = impl_->feed ? impl_->feed->refresh() : Result<void>();
  auto loaded = impl_->load();
  return fetched ? loaded : fetched;
}

std::optional<http::Response> Guard::operator()(http::Request& request, const http::Route& route) {
  return impl_->check(request, route);
}

bool Guard::is_required() const { return impl_->required(); }

GuardCounts Guard::counts() const {
  return {impl_->allowed, impl_->anonymous, impl_->unauthenticated, impl_->forbidden, impl_->limited};
}

std::optional<KeyFeed::Counts> Guard::token_feed() const {
  if (!impl_->feed) return std::nullopt;
  return impl_->feed->counts();
}

}  // namespace nidus::auth
