// Measures and shapes that the parts share. All lengths in mm. Change a measure here or with -D on the command line;
// the asserts say what does not fit any more.

$fn = 48;

spacing = 100;           // between the two beams: 80 to 120, see ../mounting.en.md
wall = 2.4;              // of every box
clearance = 0.4;         // between parts that are put together

// M18 sensor
m18_hole = 18.5;
m18_washer = 30;         // lock nut over its corners 27.7, washer up to 30
m18_inside = 60;         // of the barrel behind the wall
m18_bend = 25;           // room for the cable to turn, or for an angled plug

// board: perforated board with the ESP32 in sockets
board_x = 90;
board_y = 70;
board_holes_x = 84;      // between the centres of its holes
board_holes_y = 64;
board_stack = 24;        // from the bottom of the posts to the highest part on the board
post = 5;                // height of the posts under the board; M3 x 6 mm holds it

screw_tap = 2.7;         // M3 cuts its own thread
screw_pass = 3.4;        // M3 passes
screw_head = 6.5;
corner = 8;              // posts for the lid's screws
first_beam = wall + corner + m18_washer / 2 + 2;  // from the wall beside the door to the nearer beam: box and angles alike

gland = 12.5;            // cable gland M12, for a cable without a plug
gland_nut = 20;          // over its corners
plug_hole = 16;          // a USB plug or a barrel plug passes
keyhole_head = 9;
keyhole_shaft = 4.5;

module slab(size, r = 3) {  // a box with round upright edges, standing on z = 0
    translate([r, r, 0]) linear_extrude(size.z) offset(r) square([size.x - 2 * r, size.y - 2 * r]);
}

module hole(d, h) {  // upright, through z = 0 .. h
    translate([0, 0, -1]) cylinder(d = d, h = h + 2);
}

module keyhole(h) {  // for a screw in the wall: head in below, then slide
    hole(keyhole_head, h);
    translate([-keyhole_shaft / 2, 0, -1]) cube([keyhole_shaft, 10, h + 2]);
    translate([0, 10, 0]) hole(keyhole_shaft, h);
}

module tap_post(h, d = 7) {  // a post with a hole for a screw
    difference() {
        cylinder(d = d, h = h);
        translate([0, 0, 1.2]) cylinder(d = screw_tap, h = h);
    }
}

module board_posts(x, y) {  // four posts round the middle x, y of the board
    for (dx = [-1, 1], dy = [-1, 1])
        translate([x + dx * board_holes_x / 2, y + dy * board_holes_y / 2, 0]) tap_post(wall + post);
}

module lid_posts(size, h) {  // in the four corners, from the floor to the rim
    for (x = [wall, size.x - wall - corner], y = [wall, size.y - wall - corner])
        translate([x - 0.5, y - 0.5, 0]) difference() {
            cube([corner + 1, corner + 1, h]);
            translate([(corner + 1) / 2, (corner + 1) / 2, h - 14]) cylinder(d = screw_tap, h = 15);
        }
}

module lid(size, thick = 2.4) {  // a plate over a box of this outer size, with a rim that keeps it in place
    difference() {
        union() {
            slab([size.x, size.y, thick]);
            translate([wall + clearance, wall + clearance, thick - 0.1]) difference() {
                slab([size.x - 2 * (wall + clearance), size.y - 2 * (wall + clearance), 3]);
                translate([1.6, 1.6, -1])
                    slab([size.x - 2 * (wall + clearance) - 3.2, size.y - 2 * (wall + clearance) - 3.2, 6]);
                for (x = [0, size.x - 2 * wall - corner - 3], y = [0, size.y - 2 * wall - corner - 3])
                    translate([x - 1, y - 1, -1]) cube([corner + 4, corner + 4, 6]);
            }
        }
        for (x = [wall + corner / 2, size.x - wall - corner / 2], y = [wall + corner / 2, size.y - wall - corner / 2])
            translate([x, y, 0]) {
                hole(screw_pass, thick);
                translate([0, 0, -0.01]) cylinder(d1 = screw_head, d2 = screw_pass, h = 1.7);
            }
    }
}

module foot_plate(thick, depth, height) {  // in the plane x = 0, ribbed to a plate in z = 0; slots for screws in the wall
    difference() {
        union() {
            cube([thick, height, depth]);
            for (y = [0, height - thick]) translate([0, y + thick, 0]) rotate([90, 0, 0]) linear_extrude(thick)
                polygon([[0, 0], [depth - 6, 0], [0, depth - 6]]);
        }
        for (y = [height / 2 - 11, height / 2 + 11]) hull() for (dz = [-3, 3])
            translate([-1, y, depth - 12 + dz]) rotate([0, 90, 0]) cylinder(d = 4.5, h = thick + 2);
    }
}

module tie_bar() {  // strain relief: a bridge on the floor for a cable tie
    difference() {
        translate([-8, -4, 0]) cube([16, 8, wall + 8]);
        translate([-5, -5, wall + 1]) cube([10, 10, 4]);
    }
}
