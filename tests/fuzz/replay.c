/*
 * Runs a fuzz target over the files of a folder: what fuzzing once found stays found, with every
 * compiler and without libFuzzer.
 */
#include "base/buf.h"
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

static void
replay_file(const char *folder, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", folder, name);
    FILE *file = fopen(buf_string(&path), "rb");
    check(file != NULL);
    struct buf content = {0};
    size_t got;
    do {
        got = fread(buf_reserve(&content, 4096), 1, 4096, file);
        content.size += got;
    } while (got > 0);
    fclose(file);
    LLVMFuzzerTestOneInput((const uint8_t *)content.data, content.size);
    buf_fini(&content);
    buf_fini(&path);
}

int
main(int argc, char **argv)
{
    check(argc == 2);
    DIR *folder = opendir(argv[1]);
    check(folder != NULL);
    unsigned count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            replay_file(argv[1], entry->d_name);
            count++;
        }
    }
    closedir(folder);
    printf("%u inputs\n", count);
    return count == 0;
}
