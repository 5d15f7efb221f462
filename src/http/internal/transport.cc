#include "http/internal/transport.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/check.h"

namespace nidus::http::internal {
namespace {

// What one call of the system gets: the most that a socket takes at once, and no more to be looked at by
// tools.
constexpr std::size_t kWrittenMax = 4 << 20;

}  // namespace

void Transport::Free::operator()(SSL* ssl) const { SSL_free(ssl); }

Transport::Transport(int socket, const TlsContext* context) : socket_(socket) {
  if (context == nullptr) return;
  ssl_.reset(SSL_new(context->get()));  // which keeps the context while it needs it
  CHECK(ssl_ != nullptr);
  CHECK(SSL_set_fd(ssl_.get(), socket) == 1);
  SSL_set_accept_state(ssl_.get());
}

Transport::Status Transport::status_of(int result) const {
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();  // the queue is the thread's: what stays would be taken for the next connection's
  switch (error) {
    case SSL_ERROR_WANT_READ:
      return Status::wants_read;
    case SSL_ERROR_WANT_WRITE:
      return Status::wants_write;
    case SSL_ERROR_ZERO_RETURN:
      return Status::end;
    default:
      return Status::lost;
  }
}

Transport::Status Transport::handshake() {
  if (ssl_ == nullptr) return Status::done;
  const int result = SSL_do_handshake(ssl_.get());
  return result == 1 ? Status::done : status_of(result);
}

std::string Transport::certificate_name() const {
  if (ssl_ == nullptr || SSL_get_verify_mode(ssl_.get()) == SSL_VERIFY_NONE) return {};
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return {};
  X509_NAME* const subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string name;
  // A name with a NUL in it has fooled many a reader.
  if (length > 0 && std::find(text, text + length, '\0') == text + length) name.assign(text, text + length);
  OPENSSL_free(text);
  return name;
}

Transport::Outcome Transport::read(std::span<char> into) {
  CHECK(!into.empty());
  if (ssl_ == nullptr) {
    ssize_t count = 0;
    do count = ::recv(socket_, into.data(), into.size(), 0);
    while (count < 0 && errno == EINTR);
    if (count > 0) return {Status::done, static_cast<std::size_t>(count)};
    if (count == 0) return {Status::end, 0};
    return {errno == EAGAIN || errno == EWOULDBLOCK ? Status::wants_read : Status::lost, 0};
  }
  // One record at a time is all that SSL_read gives.
  std::size_t taken = 0;
  while (taken < into.size()) {
    const int room = static_cast<int>(std::min<std::size_t>(into.size() - taken, INT_MAX));
    const int count = SSL_read(ssl_.get(), into.data() + taken, room);
    if (count <= 0) {
      const Status status = status_of(count);
      if (taken == 0) return {status, 0};
      break;  // an end or an error is said again
    }
    taken += static_cast<std::size_t>(count);
  }
  return {Status::done, taken};
}

Transport::Outcome Transport::move(int pipe, std::size_t count) {
  CHECK(ssl_ == nullptr && count > 0);
  ssize_t moved = 0;
  do moved = ::splice(socket_, nullptr, pipe, nullptr, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (moved < 0 && errno == EINTR);
  if (moved > 0) return {Status::done, static_cast<std::size_t>(moved)};
  if (moved == 0) return {Status::end, 0};
  // EPIPE: nobody reads the pipe, which is no fault of the connection.
  return {errno == EAGAIN || errno == EPIPE ? Status::wants_read : Status::lost, 0};
}

Transport::Outcome Transport::write(std::span<const std::string_view> pieces) {
  if (ssl_ == nullptr) {
    constexpr std::size_t kPiecesMax = 4;
    CHECK(pieces.size() <= kPiecesMax);
    iovec parts[kPiecesMax];
    std::size_t count_of_parts = 0;
    for (std::size_t all = 0; count_of_parts < pieces.size() && all < kWrittenMax; ++count_of_parts) {
      const std::string_view piece = pieces[count_of_parts].substr(0, kWrittenMax - all);
      parts[count_of_parts] = {const_cast<char*>(piece.data()), piece.size()};
      all += piece.size();
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count_of_parts;
    ssize_t count = 0;
    do count = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count >= 0) return {Status::done, static_cast<std::size_t>(count)};
    return {errno == EAGAIN || errno == EWOULDBLOCK ? Status::wants_write : Status::lost, 0};
  }
  // Small pieces go into one record, so that head and body of a short answer are one packet.
  constexpr std::size_t kTogetherMax = 4096;
  std::size_t all = 0;
  for (const std::string_view piece : pieces) all += piece.size();
  char together[kTogetherMax];
  std::string_view only;
  if (all <= kTogetherMax) {
    std::size_t filled = 0;
    for (const std::string_view piece : pieces) {
      std::copy(piece.begin(), piece.end(), together + filled);
      filled += piece.size();
    }
    only = {together, filled};
    pieces = {&only, 1};
  }
  std::size_t written = 0;
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const int count =
          SSL_write(ssl_.get(), piece.data(), static_cast<int>(std::min<std::size_t>(piece.size(), INT_MAX)));
      if (count <= 0) {
        const Status status = status_of(count);
        if (written == 0) return {status == Status::end ? Status::lost : status, 0};
        return {Status::done, written};
      }
      written += static_cast<std::size_t>(count);
      piece.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  return {Status::done, written};
}

bool Transport::has_buffered() const { return ssl_ != nullptr && SSL_pending(ssl_.get()) > 0; }

void Transport::end_output() {
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_.get())) {
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  ::shutdown(socket_, SHUT_WR);
}

}  // namespace nidus::http::internal
