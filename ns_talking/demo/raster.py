"""A small software rasteriser: triangles with a depth buffer, soft light, and vertex normals."""

from __future__ import annotations

import numpy as np

from ns_talking.demo.compiled import compiled
from ns_talking.demo.mesh import ALBEDO, GLOSS, NORMAL


@compiled
def vertex_normals(positions: np.ndarray, triangles: np.ndarray, weld: np.ndarray) -> np.ndarray:
    """Average the triangles' normals at every vertex; vertices with the same `weld` share one normal."""
    sums = np.zeros((positions.shape[0], 3), dtype=np.float32)
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ux = positions[b, 0] - positions[a, 0]
        uy = positions[b, 1] - positions[a, 1]
        uz = positions[b, 2] - positions[a, 2]
        vx = positions[c, 0] - positions[a, 0]
        vy = positions[c, 1] - positions[a, 1]
        vz = positions[c, 2] - positions[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            target = weld[corner]
            sums[target, 0] += nx
            sums[target, 1] += ny
            sums[target, 2] += nz
    normals = np.empty_like(sums)
    for index in range(positions.shape[0]):
        source = weld[index]
        x, y, z = sums[source, 0], sums[source, 1], sums[source, 2]
        scale = np.float32(1.0) / max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
        normals[index, 0], normals[index, 1], normals[index, 2] = x * scale, y * scale, z * scale
    return normals


@compiled
def rasterise(
    pixels: np.ndarray,
    inverse_depth: np.ndarray,
    triangles: np.ndarray,
    classes: np.ndarray,
    two_sided: np.ndarray,
    attributes: np.ndarray,
    depth_buffer: np.ndarray,
    class_buffer: np.ndarray,
    buffer: np.ndarray,
) -> None:
    """Draw triangles into the buffers; the nearest one wins.

    Args:
        pixels: [vertices, 2] positions in samples; sample (i, j) has its centre at (i + 0.5, j + 0.5).
        inverse_depth: [vertices] one over the distance along the optical axis; 0 or less is behind the camera.
        triangles: [triangles, 3] vertex indices, counter-clockwise seen from outside.
        classes: [triangles] the value written to `class_buffer`.
        two_sided: [triangles] whether the back of the triangle is drawn too.
        attributes: [vertices, channels] values interpolated over the triangle.
        depth_buffer: [height, width] inverse depths, 0 where empty; changed in place.
        class_buffer: [height, width] uint8; changed in place.
        buffer: [height, width, channels]; changed in place.
    """
    height, width = depth_buffer.shape
    channels = attributes.shape[1]
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ax, ay = pixels[a, 0], pixels[a, 1]
        bx, by = pixels[b, 0], pixels[b, 1]
        cx, cy = pixels[c, 0], pixels[c, 1]
        # Rows grow downwards, so a triangle that faces the camera has a negative area in samples.
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or (area > 0.0 and not two_sided[index]):
            continue
        if inverse_depth[a] <= 0.0 or inverse_depth[b] <= 0.0 or inverse_depth[c] <= 0.0:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        if right < left or bottom < top:
            continue
        scale = 1.0 / area
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * scale
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * scale
                wc = 1.0 - wa - wb
                if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                    continue
                nearness = wa * inverse_depth[a] + wb * inverse_depth[b] + wc * inverse_depth[c]
                if nearness <= depth_buffer[row, column]:
                    continue
                depth_buffer[row, column] = nearness
                class_buffer[row, column] = classes[index]
                for channel in range(channels):
                    buffer[row, column, channel] = (
                        wa * attributes[a, channel] + wb * attributes[b, channel] + wc * attributes[c, channel]
                    )


@compiled
def shade(
    buffer: np.ndarray,
    class_buffer: np.ndarray,
    lights: np.ndarray,
    ambient: float,
    viewer: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Turn interpolated albedo and normals into display colours in [0, 1] (gamma 2.2).

    Args:
        buffer: [height, width, channels] from `rasterise` with the channels of `ns_talking.demo.mesh`.
        class_buffer: [height, width]; samples of class 0 stay untouched.
        lights: [lights, 4] unit directions towards each light and its strength.
        ambient: Strength of the light from everywhere; a little stronger from above.
        viewer: Unit direction towards the camera.
        colours: [height, width, 3]; changed in place.
    """
    height, width = class_buffer.shape
    for row in range(height):
        for column in range(width):
            if class_buffer[row, column] == 0:
                continue
            sample = buffer[row, column]
            nx, ny, nz = sample[NORMAL], sample[NORMAL + 1], sample[NORMAL + 2]
            length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
            nx, ny, nz = nx / length, ny / length, nz / length
            if nx * viewer[0] + ny * viewer[1] + nz * viewer[2] < -0.2:
                nx, ny, nz = -nx, -ny, -nz
            diffuse = ambient * (0.85 + 0.35 * nz)
            specular = 0.0
            for index in range(lights.shape[0]):
                lx, ly, lz = lights[index, 0], lights[index, 1], lights[index, 2]
                # Light that wraps a little around the terminator looks like skin rather than like plaster.
                cosine = (nx * lx + ny * ly + nz * lz + 0.25) / 1.25
                if cosine > 0.0:
                    diffuse += lights[index, 3] * cosine
                hx, hy, hz = lx + viewer[0], ly + viewer[1], lz + viewer[2]
                half = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
                if half > 0.0:
                    specular += lights[index, 3] * half**24
            gloss = sample[GLOSS] * specular
            for channel in range(3):
                value = sample[ALBEDO + channel] * diffuse + gloss
                value = min(max(value, 0.0), 1.0)
                colours[row, column, channel] = value ** (1.0 / 2.2)


@compiled
def compose(
    head: np.ndarray,
    head_classes: np.ndarray,
    head_depth: np.ndarray,
    torso: np.ndarray,
    torso_classes: np.ndarray,
    torso_depth: np.ndarray,
    plate: np.ndarray,
    samples: int,
    region_of: np.ndarray,
    is_head: np.ndarray,
    image: np.ndarray,
    parsing: np.ndarray,
    classes: np.ndarray,
    layer: np.ndarray,
) -> None:
    """Average the samples of every pixel: head before torso before the plate.

    Args:
        head: [height * samples, width * samples, 3] display colours of the head's samples, in [0, 1].
        head_classes: Classes of these samples, 0 where empty.
        head_depth: Inverse depths of these samples.
        torso: Display colours of the torso's samples.
        torso_classes: Classes of these samples.
        torso_depth: Inverse depths of these samples.
        plate: [height, width, 3] uint8 background.
        samples: Samples per pixel along each axis.
        region_of: [classes] region of every class.
        is_head: [regions] whether a region belongs to the head.
        image: [height, width, 3] uint8; changed in place.
        parsing: [height, width] uint8: head where it covers half of the pixel, then the largest part; in place.
        classes: [height, width] uint8: the largest class of that part; in place.
        layer: [height, width, 4] uint8: the torso as if the head were not there, straight alpha; in place.
    """
    share = 1.0 / (samples * samples)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            colour = np.zeros(3)
            body = np.zeros(3)
            counts = np.zeros(is_head.shape[0], dtype=np.int64)
            class_counts = np.zeros(region_of.shape[0], dtype=np.int64)
            in_head, in_torso = 0, 0
            for y in range(row * samples, (row + 1) * samples):
                for x in range(column * samples, (column + 1) * samples):
                    shown = torso_classes[y, x]
                    if shown > 0:
                        in_torso += 1
                        for channel in range(3):
                            body[channel] += torso[y, x, channel]
                    if head_classes[y, x] > 0 and head_depth[y, x] > torso_depth[y, x]:
                        shown = head_classes[y, x]
                        in_head += 1
                        for channel in range(3):
                            colour[channel] += head[y, x, channel]
                    elif shown > 0:
                        for channel in range(3):
                            colour[channel] += torso[y, x, channel]
                    else:
                        for channel in range(3):
                            colour[channel] += plate[row, column, channel] / 255.0
                    counts[region_of[shown]] += 1
                    class_counts[shown] += 1
            for channel in range(3):
                image[row, column, channel] = int(255.0 * min(max(colour[channel] * share, 0.0), 1.0) + 0.5)
                straight = body[channel] / in_torso if in_torso > 0 else 0.0
                layer[row, column, channel] = int(255.0 * min(max(straight, 0.0), 1.0) + 0.5)
            layer[row, column, 3] = int(255.0 * in_torso * share + 0.5)
            mostly_head = 2 * in_head >= samples * samples
            best, label = -1, 0
            for region in range(counts.shape[0]):
                if is_head[region] == mostly_head and counts[region] > best:
                    best, label = counts[region], region
            parsing[row, column] = label
            most = -1
            for one in range(region_of.shape[0]):
                if region_of[one] == label and class_counts[one] > most:
                    most = class_counts[one]
                    classes[row, column] = one
