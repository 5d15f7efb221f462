#pragma once

#include <chrono>
#include <optional>
#include <string_view>

// Tells systemd how the service is doing, by the protocol of sd_notify(3): a datagram to the socket that
// NOTIFY_SOCKET names. Where nobody asked to be told, nothing happens.
namespace nidus::serve {

// "READY=1", "RELOADING=1" (the moment is added), "STOPPING=1", "WATCHDOG=1", "STATUS=…". True if it was
// sent.
bool notify_manager(std::string_view state);

// How often the manager wants to hear WATCHDOG=1, if at all: half of WATCHDOG_USEC, as its manual advises.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace nidus::serve
