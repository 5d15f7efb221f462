#include <cstring>

#include "store/testing.h"

namespace nidus::store {
namespace {

FaultyDisk* disk = nullptr;
sqlite3_vfs* system_vfs = nullptr;
sqlite3_vfs faulty_vfs;
sqlite3_io_methods faulty_methods;

// SQLite gives each file szOsFile bytes; the system's file lies behind ours.
struct File {
  sqlite3_file base;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* file(sqlite3_file* given) { return reinterpret_cast<File*>(given); }

template <auto Method, class... Arguments>
int forward(sqlite3_file* given, Arguments... arguments) {
  sqlite3_file* real = file(given)->real();
  return (real->pMethods->*Method)(real, arguments...);
}

int close(sqlite3_file* given) {
  const int code = forward<&sqlite3_io_methods::xClose>(given);
  given->pMethods = nullptr;
  return code;
}

int write(sqlite3_file* given, const void* bytes, int count, sqlite3_int64 at) {
  if (const int code = disk->change(); code != SQLITE_OK) return code;
  return forward<&sqlite3_io_methods::xWrite>(given, bytes, count, at);
}

int truncate(sqlite3_file* given, sqlite3_int64 size) {
  if (const int code = disk->change(); code != SQLITE_OK) return code;
  return forward<&sqlite3_io_methods::xTruncate>(given, size);
}

int sync(sqlite3_file* given, int flags) {
  if (const int code = disk->change(); code != SQLITE_OK) return code;
  return forward<&sqlite3_io_methods::xSync>(given, flags);
}

void shm_barrier(sqlite3_file* given) {
  sqlite3_file* real = file(given)->real();
  real->pMethods->xShmBarrier(real);
}

int open(sqlite3_vfs*, const char* name, sqlite3_file* given, int flags, int* out_flags) {
  std::memset(given, 0, static_cast<std::size_t>(faulty_vfs.szOsFile));
  const int code = system_vfs->xOpen(system_vfs, name, file(given)->real(), flags, out_flags);
  if (file(given)->real()->pMethods != nullptr) given->pMethods = &faulty_methods;
  return code;
}

}  // namespace

FaultyDisk::FaultyDisk() {
  disk = this;
  system_vfs = sqlite3_vfs_find(nullptr);
  faulty_vfs = *system_vfs;
  faulty_vfs.zName = "faulty";
  faulty_vfs.pNext = nullptr;
  faulty_vfs.szOsFile = static_cast<int>(sizeof(File)) + system_vfs->szOsFile;
  faulty_vfs.xOpen = open;
  using Io = sqlite3_io_methods;
  faulty_methods = {};
  faulty_methods.iVersion = 2;  // with shared memory, without mapping
  faulty_methods.xClose = close;
  faulty_methods.xRead = forward<&Io::xRead, void*, int, sqlite3_int64>;
  faulty_methods.xWrite = write;
  faulty_methods.xTruncate = truncate;
  faulty_methods.xSync = sync;
  faulty_methods.xFileSize = forward<&Io::xFileSize, sqlite3_int64*>;
  faulty_methods.xLock = forward<&Io::xLock, int>;
  faulty_methods.xUnlock = forward<&Io::xUnlock, int>;
  faulty_methods.xCheckReservedLock = forward<&Io::xCheckReservedLock, int*>;
  faulty_methods.xFileControl = forward<&Io::xFileControl, int, void*>;
  faulty_methods.xSectorSize = forward<&Io::xSectorSize>;
  faulty_methods.xDeviceCharacteristics = forward<&Io::xDeviceCharacteristics>;
  faulty_methods.xShmMap = forward<&Io::xShmMap, int, int, int, void volatile**>;
  faulty_methods.xShmLock = forward<&Io::xShmLock, int, int, int>;
  faulty_methods.xShmBarrier = shm_barrier;
  faulty_methods.xShmUnmap = forward<&Io::xShmUnmap, int>;
  sqlite3_vfs_register(&faulty_vfs, 1);
}

FaultyDisk::~FaultyDisk() {
  sqlite3_vfs_unregister(&faulty_vfs);
  sqlite3_vfs_register(system_vfs, 1);
  disk = nullptr;
}

}  // namespace nidus::store
