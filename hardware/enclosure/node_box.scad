// The node's box: two M18 sensors (or the tubes of the low-cost variant) look out of its front, the board lies under them.
//   openscad -D 'part="box"' -D spacing=100 -o node_box.stl node_box.scad
include <common.scad>

part = "box";            // box, lid or both (for the picture)
status_hole = 8;         // holder of the status lamp; 0: none

inner_x = max(spacing + 2 * (first_beam - wall), board_x + 2 * corner + 4);
inner_y = max(m18_inside + m18_bend + 4, board_y + 10);
axis = wall + board_stack + m18_washer / 2 + 1;  // of the sensors above the floor
inner_z = axis - wall + m18_washer / 2 + 3;
size = [inner_x + 2 * wall, inner_y + 2 * wall, inner_z + wall];
board_at = [size.x / 2, wall + inner_y - board_y / 2 - 3];
beside = (inner_x - board_x) / 2;  // free floor left and right of the board

assert(spacing >= 80 && spacing <= 120, "spacing: 80 to 120 mm separate people from hands");
assert(spacing >= m18_washer + 4, "the nuts of the two sensors touch");
assert((inner_x - spacing) / 2 >= corner + m18_washer / 2 + 1, "a nut touches a post of the lid");
assert(inner_x - 2 * corner >= board_x + 1, "the board touches the posts of the lid");
assert(inner_y >= board_y + 4, "the board is too deep for the box");
assert(axis - m18_washer / 2 >= wall + board_stack, "the sensors touch the board");
assert(beside >= max(gland_nut, plug_hole) + 2, "the cables do not fit beside the board");
assert(board_holes_x < board_x && board_holes_y < board_y, "the holes of the board lie outside it");

module box() {
    difference() {
        union() {
            difference() {
                slab(size);
                translate([wall, wall, wall]) slab([inner_x, inner_y, size.z], 1.5);
            }
            lid_posts(size, size.z);
            board_posts(board_at.x, board_at.y);
            translate([wall + beside / 2, 62, 0]) tie_bar();
        }
        for (side = [-1, 1])
            translate([size.x / 2 + side * spacing / 2, -1, axis]) rotate([-90, 0, 0]) cylinder(d = m18_hole, h = wall + 2);
        if (status_hole > 0)
            translate([size.x / 2, -1, axis]) rotate([-90, 0, 0]) cylinder(d = status_hole, h = wall + 2);
        // cables leave through the floor: it is down and free on the wall beside the door and in the reveal alike
        translate([wall + beside / 2, 36, 0]) hole(plug_hole, wall);
        for (y = [34, 62]) translate([size.x - wall - beside / 2, y, 0]) hole(gland, wall);
        // Only the left side and the back go to a wall: then both beams are at the same height.
        for (y = [size.y / 2 - 25, size.y / 2 + 25]) translate([0, y, axis - 6]) rotate([90, 0, 90]) keyhole(wall);
        for (x = [size.x / 2 - 35, size.x / 2 + 35]) translate([x, size.y, axis - 6]) rotate([90, 0, 0]) keyhole(wall);
    }
}

if (part == "box" || part == "both") box();
if (part == "lid") lid(size);
if (part == "both") translate([0, 0, size.z + 30]) mirror([0, 0, 1]) translate([0, 0, -2.4]) lid(size);
