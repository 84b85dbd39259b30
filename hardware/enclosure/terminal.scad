// The feedback terminal: a front with 3 to 5 lit buttons, and the box behind it that holds the board.
//   openscad -D 'part="front"' -D buttons=5 -o terminal_front_5.stl terminal.scad
include <common.scad>

part = "front";          // front, box or both (for the picture)
buttons = 5;
button_hole = 24.2;      // arcade button 24 mm; 22.3 for an industrial one
button_rim = 28;         // what stands over the front
button_behind = 38;      // with its plugs
pitch = 38;              // between two buttons
lamp_hole = 0;           // for buttons without a lamp: hole above each of them
margin = 20;             // from the last button to the edge

inner_y = board_y + 2 * corner + 6;
size = [max((buttons - 1) * pitch + button_rim + 2 * margin, board_x + 2 * corner + 8 + 2 * wall),
        inner_y + 2 * wall,
        wall + board_stack + button_behind + 3];
front = 3;

assert(buttons >= 3 && buttons <= 5, "3 to 5 buttons: more are not answered, and the board has no pins for them");
assert(pitch >= button_rim + 6, "a finger meets two buttons");
assert(size.x <= 250, "wider than the bed of a common printer");
assert(size.x - 2 * wall - 2 * corner >= board_x + 1, "the board touches the posts of the front");
assert(size.z - front >= board_stack + button_behind, "the buttons touch the board");

module at_buttons() {
    for (i = [0 : buttons - 1]) translate([size.x / 2 + (i - (buttons - 1) / 2) * pitch, size.y / 2, 0]) children();
}

module front_plate() {
    difference() {
        lid(size, front);
        at_buttons() hole(button_hole, front + 4);
        if (lamp_hole > 0) at_buttons() translate([0, button_rim / 2 + 8, 0]) hole(lamp_hole, front + 4);
        // a flat place for the question above the buttons, 0.6 mm deep (the front is printed face down)
        translate([wall + corner + 6, 10, -0.01]) cube([size.x - 2 * (wall + corner + 6), 16, 0.6]);
    }
}

module box() {
    difference() {
        union() {
            difference() {
                slab(size);
                translate([wall, wall, wall]) slab([size.x - 2 * wall, inner_y, size.z], 1.5);
            }
            lid_posts(size, size.z);
            board_posts(size.x / 2, size.y / 2);
            translate([size.x / 2, size.y - wall - 6, 0]) tie_bar();
        }
        translate([size.x / 2, size.y + 1, size.z / 2]) rotate([90, 0, 0]) cylinder(d = plug_hole, h = wall + 2);
        for (x = [wall + corner + 8, size.x - wall - corner - 8]) translate([x, size.y / 2, 0]) keyhole(wall);
    }
}

if (part == "front") front_plate();
if (part == "box" || part == "both") box();
if (part == "both") translate([0, 0, size.z + 30]) mirror([0, 0, 1]) translate([0, 0, -front]) front_plate();
