#include "formats/picture.h"

#include "formats/input.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

enum {
    LONGEST_FILE = 1 << 28,
    MOST_PIXELS = 1 << 26,
    /* Each scan of a progressive JPEG goes over all pixels, however few bytes it has. */
    MOST_SCANS = 200,
};

static bool is_png(const unsigned char *bytes, size_t length)
{
    static const unsigned char MAGIC[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    return length >= sizeof MAGIC && !memcmp(bytes, MAGIC, sizeof MAGIC);
}

static bool is_jpeg(const unsigned char *bytes, size_t length)
{
    return length >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

bool i3d_is_picture(const char *path)
{
    struct i3d_file *file;
    unsigned char head[8];
    if (!strcmp(path, "-") || i3d_input_open(path, &file, NULL))
        return false;
    size_t length = i3d_file_size(file) < sizeof head ? (size_t)i3d_file_size(file) : sizeof head;
    bool read = !i3d_file_read(file, 0, head, length, NULL);
    i3d_file_release(file);
    return read && (is_png(head, length) || is_jpeg(head, length));
}

static enum i3d_status make_room(int64_t height, int64_t width, struct i3d_picture *picture,
                                 struct i3d_error *error)
{
    if (height < 1 || width < 1 || height > MOST_PIXELS || width > MOST_PIXELS / height)
        return i3d_fail(error, I3D_MALFORMED, "a picture of %lld×%lld is more than %d pixels",
                        (long long)height, (long long)width, MOST_PIXELS);
    picture->pixels = malloc((size_t)(height * width * 3));
    if (!picture->pixels)
        return i3d_fail_memory(error);
    picture->height = height;
    picture->width = width;
    return I3D_OK;
}

static enum i3d_status read_png(const void *bytes, size_t length, struct i3d_picture *picture,
                                struct i3d_error *error)
{
    static const png_color black = { 0 };
    png_image image = { .version = PNG_IMAGE_VERSION };
    enum i3d_status status = I3D_OK;
    if (!png_image_begin_read_from_memory(&image, bytes, length))
        status = i3d_fail(error, I3D_MALFORMED, "the PNG is broken: %s", image.message);
    if (!status)
        status = make_room(image.height, image.width, picture, error);
    image.format = PNG_FORMAT_RGB;
    if (!status && !png_image_finish_read(&image, &black, picture->pixels, 0, NULL))
        status = i3d_fail(error, I3D_MALFORMED, "the PNG is broken: %s", image.message);
    png_image_free(&image);
    return status;
}

/* What libjpeg's handlers need; errors go back to where the jump was set. */
struct jpeg_trouble {
    struct jpeg_error_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    struct i3d_error *error;
    enum i3d_status status;
};

static void fail_jpeg(j_common_ptr common)
{
    struct jpeg_trouble *trouble = (struct jpeg_trouble *)common->err;
    char message[JMSG_LENGTH_MAX];
    common->err->format_message(common, message);
    trouble->status = common->err->msg_code == JERR_OUT_OF_MEMORY
        ? i3d_fail_memory(trouble->error)
        : i3d_fail(trouble->error, I3D_MALFORMED, "the JPEG is broken: %s", message);
    longjmp(trouble->escape, 1);
}

/* A warning means damage that the library would paint over with grey. */
static void warn_jpeg(j_common_ptr common, int level)
{
    if (level < 0)
        fail_jpeg(common);
}

static void count_scans(j_common_ptr common)
{
    struct jpeg_trouble *trouble = (struct jpeg_trouble *)common->err;
    if (!common->is_decompressor || ((j_decompress_ptr)common)->input_scan_number <= MOST_SCANS)
        return;
    trouble->status = i3d_fail(trouble->error, I3D_MALFORMED, "the JPEG has more than %d scans",
                               MOST_SCANS);
    longjmp(trouble->escape, 1);
}

/* Between setjmp and longjmp nothing here changes but what pointers lead to. */
static enum i3d_status decode_jpeg(struct jpeg_decompress_struct *jpeg,
                                   struct jpeg_trouble *trouble, const void *bytes, size_t length,
                                   struct i3d_picture *picture)
{
    if (setjmp(trouble->escape))
        return trouble->status;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &trouble->progress;
    jpeg_mem_src(jpeg, bytes, (unsigned long)length);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components == 4)
        return i3d_fail(trouble->error, I3D_UNSUPPORTED, "the JPEG has four inks, not RGB");
    jpeg->out_color_space = JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    enum i3d_status status =
        make_room(jpeg->image_height, jpeg->image_width, picture, trouble->error);
    if (status)
        return status;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = picture->pixels + (size_t)jpeg->output_scanline * jpeg->output_width * 3;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return I3D_OK;
}

static enum i3d_status read_jpeg(const void *bytes, size_t length, struct i3d_picture *picture,
                                 struct i3d_error *error)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_trouble trouble = { .progress.progress_monitor = count_scans, .error = error };
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&trouble.manager);
    trouble.manager.error_exit = fail_jpeg;
    trouble.manager.emit_message = warn_jpeg;
    enum i3d_status status = decode_jpeg(&jpeg, &trouble, bytes, length, picture);
    jpeg_destroy_decompress(&jpeg);
    return status;
}

enum i3d_status i3d_read_picture(const char *path, struct i3d_picture *picture,
                                 struct i3d_error *error)
{
    char *bytes;
    size_t length;
    *picture = (struct i3d_picture){ 0 };
    enum i3d_status status = i3d_input_load(path, LONGEST_FILE, &bytes, &length, error);
    if (status)
        return status;
    const unsigned char *head = (const unsigned char *)bytes;
    if (is_png(head, length))
        status = read_png(bytes, length, picture, error);
    else if (is_jpeg(head, length))
        status = read_jpeg(bytes, length, picture, error);
    else
        status = i3d_fail(error, I3D_MALFORMED, "it is neither PNG nor JPEG");
    free(bytes);
    if (!status)
        return I3D_OK;
    free(picture->pixels);
    *picture = (struct i3d_picture){ 0 };
    return i3d_error_file(error, path);
}
